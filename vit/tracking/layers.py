"""Printing a model's layers; outside vit.training, so that a change of the table does not invalidate trainings."""

from vit.inference.summary import model_summary


def show_layers(config: dict) -> None:
    print(model_summary(config), end="")
