"""Privacy: which words of a transcript are personal."""
