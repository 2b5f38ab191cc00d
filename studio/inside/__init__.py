"""The views of page Look inside; each gets a model and a picture."""
