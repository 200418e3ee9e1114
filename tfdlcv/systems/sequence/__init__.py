"""Systems that learn from sequences."""
