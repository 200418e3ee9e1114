"""Systems that say something of every pixel of an image."""
