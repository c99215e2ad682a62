"""Release: agreed labels become an immutable dataset version."""
