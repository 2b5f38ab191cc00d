"""Streamlit pages over the pipeline: they call `vit` and run DVC's and MLflow's own commands, and hold no logic."""
