"""Systems that restore images."""
