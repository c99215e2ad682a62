"""The judgement of a new model: what it scores, beside what, and whether it takes over."""
