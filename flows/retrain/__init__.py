"""Retrain: a version becomes a model, which is judged and promoted only if surely better."""
