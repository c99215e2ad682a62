"""Labelling: clips go to people, and what they answer comes back."""
