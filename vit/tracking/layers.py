"""The layers of a model in the log of its training; apart from training, so that another table trains nothing again."""

from vit.inference.summary import model_summary


def show_layers(config: dict) -> None:
    print(model_summary(config), end="")
