"""What a model costs, counted and not timed, so that it is the same on every machine."""

from vit.registry.gate import Cost


def cost_of(config: dict) -> Cost:
    """Parameters and multiply-adds for one image of the model that `config` (model/config.json) describes.

    Counted by torch's FlopCounterMode on shapes alone: nothing is allocated or computed. It counts matrix products,
    the written-out and the fused attention alike.
    """
    import torch  # late: most publications have nothing to judge
    from torch.utils.flop_counter import FlopCounterMode

    from vit.inference.classifier import Classifier

    with torch.device("meta"):
        classifier = Classifier.new(config, torch.device("meta"))
        image = torch.empty(1, config["channels"], *config["image_size"])
    classifier.model.eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        classifier.model(image)
    return Cost(classifier.parameter_count, counter.get_total_flops() // 2)
