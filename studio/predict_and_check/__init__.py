"""The parts of page Predict and check."""
