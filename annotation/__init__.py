"""Annotation: the labelling screen made from schemes, and a sync with Label Studio that loses and
doubles nothing."""
