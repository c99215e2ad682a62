"""Pre-label: models propose who spoke, what was said and what it means."""
