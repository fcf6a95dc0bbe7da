"""Code to be read from top to bottom: models and methods from scratch, in torch alone."""
