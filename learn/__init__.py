"""The book: chapters that are programs, and the code that only they need. `vit` does not import this package."""
