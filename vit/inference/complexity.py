"""The cost of a model, counted rather than timed, so that it is the same on every machine."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """A model's parameters and its multiply-adds for one image."""

    parameters: int
    multiply_adds: int

    def less_than(self, other: "Cost") -> bool:
        """Whether this has less of one and no more of the other."""
        no_more = self.parameters <= other.parameters and self.multiply_adds <= other.multiply_adds
        return no_more and self != other


def cost_of(config: dict) -> Cost:
    """Parameters and multiply-adds for one image of the model that `config` (model/config.json) describes."""
    from vit.inference.summary import count, without_memory  # late: torch is slow to import and rarely needed

    classifier = without_memory(config)
    return Cost(classifier.parameter_count, count(classifier).get_total_flops() // 2)
