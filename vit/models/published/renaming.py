"""How tensors of other programs become this project's (timm's) tensors: rules on names, then on rows.

Only numpy, because the stage `weights` imports no torch. A safetensors header suffices to plan a translation.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Shapes = Mapping[str, tuple[int, ...]]
TOKENS = ("cls_token", "dist_token", "reg_token", "pos_embed", "attn_pool.latent")  # (1, rows, D)


@dataclass(frozen=True)
class Rule:
    """Theirs, a regular expression, to ours, a template: several theirs with one ours are stacked by `part`.

    `rows` takes that fraction of the rows, (start, stop), of theirs.
    """

    theirs: str
    ours: str
    part: int = 0
    rows: tuple[float, float] | None = None


@dataclass(frozen=True)
class Tensor:
    """One of our tensors: theirs stacked along the first axis, of which `rows` are taken, then reshaped to `shape`.

    It is zero if there are none of theirs. With `is_channels_last` theirs are flattened patches (P, P, C), as in NaFlex
    models; ours are (C, P, P). `plus_row` adds row 0 of another tensor of theirs.
    """

    theirs: tuple[str, ...]
    shape: tuple[int, ...]
    rows: tuple[int, int] | None = None
    is_channels_last: bool = False
    plus_row: str | None = None

    def made_of(self, weights: Mapping[str, np.ndarray]) -> np.ndarray:
        """The tensor itself, float32 and contiguous."""
        if not self.theirs:
            return np.zeros(self.shape, np.float32)
        parts = [np.asarray(weights[name], np.float32) for name in self.theirs]
        value = np.concatenate(parts) if len(parts) > 1 else parts[0]
        if self.rows is not None:
            value = (
                value.reshape(-1, *self.shape[-1:])[slice(*self.rows)] if value.ndim > 1 else value[slice(*self.rows)]
            )
        if self.is_channels_last:
            dim, chans, side, _ = self.shape
            value = value.reshape(dim, side, side, chans).transpose(0, 3, 1, 2)
        value = value.reshape(self.shape)
        if self.plus_row is not None:
            row = np.asarray(weights[self.plus_row], np.float32)
            value = value + row.reshape(-1, row.shape[-1])[0]
        return np.ascontiguousarray(value)


def renamed(shapes: Shapes, rules: tuple[Rule, ...]) -> tuple[dict[str, Tensor], list[str]]:
    """Our tensors by name, and the names of theirs that no rule knows."""
    parts: dict[str, dict[int, tuple[str, Rule]]] = {}
    unknown = []
    for name in shapes:
        matching = [(match.expand(rule.ours), rule) for rule in rules if (match := re.fullmatch(rule.theirs, name))]
        for ours, rule in matching:
            parts.setdefault(ours, {})[rule.part] = (name, rule)
        if not matching:
            unknown.append(name)
    return {
        ours: _tensor(ours, [known[part] for part in sorted(known)], shapes) for ours, known in parts.items()
    }, unknown


def is_odd(name: str, shape: tuple[int, ...], rules: tuple[Rule, ...]) -> bool:
    """Whether a tensor that becomes one of ours has fewer or more axes than it, or is empty."""
    for rule in rules:
        if match := re.fullmatch(rule.theirs, name):
            ours = match.expand(rule.ours)
            return 0 in shape or len(shape) not in _axes(ours)
    return False


def _axes(ours: str) -> tuple[int, ...]:
    """How many axes published weights have for our tensor of this name."""
    if ours in TOKENS:
        return (1, 2, 3, 4)
    if ours == "patch_embed.proj.weight":
        return (2, 4)
    layer, _, kind = ours.rpartition(".")
    return (1,) if kind in ("bias", "gamma") or "norm" in layer.rpartition(".")[2] else (2,)


def _tensor(ours: str, sources: list[tuple[str, Rule]], shapes: Shapes) -> Tensor:
    theirs = tuple(name for name, _ in sources)
    first = tuple(shapes[theirs[0]])
    if ours in TOKENS:
        return Tensor(theirs, (1, int(np.prod(first[:-1], dtype=int)), first[-1]))
    count = sum(shapes[name][0] for name in theirs)
    rows = sources[0][1].rows
    if rows is None:
        return Tensor(theirs, (count, *first[1:]))
    start, stop = (round(share * count) for share in rows)
    return Tensor(theirs, (stop - start, *first[1:]), (start, stop))
