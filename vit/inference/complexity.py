"""What a model costs, counted and not timed, so that it is the same on every machine."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What one model takes: its parameters, and multiply-adds for one image; both are counted, not timed."""

    parameters: int
    multiply_adds: int

    def less_than(self, other: "Cost") -> bool:
        """Less of one and no more of the other."""
        no_more = self.parameters <= other.parameters and self.multiply_adds <= other.multiply_adds
        return no_more and self != other


def cost_of(config: dict) -> Cost:
    """Parameters and multiply-adds for one image of the model that `config` (model/config.json) describes."""
    from vit.inference.summary import count, without_memory  # late: torch, and most publications have nothing to judge

    classifier = without_memory(config)
    return Cost(classifier.parameter_count, count(classifier).get_total_flops() // 2)
