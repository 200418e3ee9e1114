"""Systems that learn from point clouds."""
