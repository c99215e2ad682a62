"""Workers: child processes with limits, and when what failed is tried again."""
