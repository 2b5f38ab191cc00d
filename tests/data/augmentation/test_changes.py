"""What is drawn: each operation by itself, whatever else is switched on or added."""

import pytest
import torch

from tests.data.augmentation.common import EVERYTHING, NOTHING, draws_of, noisy, only, varied
from vit.config.schema import AugmentParams
from vit.data.augmentation.changes import OPERATIONS, Changes, draw_changes
from vit.data.augmentation.colour import Colour
from vit.data.augmentation.crop import Flip
from vit.data.augmentation.erasing import Covering
from vit.data.augmentation.geometric import Geometric
from vit.data.augmentation.mixing import MIXINGS
from vit.data.augmentation.operation import sometimes
from vit.data.augmentation.pixelwise import Pixelwise
from vit.data.batches import to_unit


class More(AugmentParams):
    new: float


def left_half(probability, count, generator):
    return torch.tensor([0.0, 0.0, 1.0, 0.5]) * sometimes(probability, count, generator)[:, None]


def swap(amounts, eye, grey):
    matrix = torch.where(amounts != 0, eye.flip(0), eye)
    return matrix, matrix


# One of each kind, which at 1 changes every image: the operation, and images (B, C, H, W) in [0, 1] after it.
MADE_UP = [
    (Flip("new", "new", 0, draw=sometimes), lambda x: x.flip(2)),
    (Geometric("new", "new", lambda amounts, size: ((-1, 0, 0), (0, 1, 0))), lambda x: x.flip(3)),
    (Colour("new", "new", swap), lambda x: x.flip(1)),
    (Pixelwise("new", "new", lambda x, amount: 255 - x), lambda x: 1 - x),
    (Covering("new", "new", draw=left_half), lambda x: torch.cat([x[..., :8] * 0 + 0.5, x[..., 8:]], dim=3)),
]
KINDS = [type(operation).__name__ for operation, _ in MADE_UP]


def by_name(changes: Changes) -> dict[str, list[torch.Tensor]]:
    drawn = {"crop": [changes.crop]}
    for operation, values in changes.drawn:
        drawn.setdefault(operation.name, []).append(values)
    return drawn


def assert_holds(more: dict[str, list[torch.Tensor]], few: dict[str, list[torch.Tensor]]) -> None:
    """`more` has whatever is drawn in `few`, to the byte."""
    for name, drawn in few.items():
        for one in drawn:
            assert any(torch.equal(one, other) for other in more[name]), name


@pytest.mark.parametrize("name", EVERYTHING)
def test_switching_an_operation_on_leaves_what_all_others_draw(name):
    few = by_name(draw_changes(50, only(**EVERYTHING | {name: 0.0}), draws_of()))
    more = by_name(draw_changes(50, only(**EVERYTHING), draws_of()))
    assert_holds(more, few)
    assert sum(map(len, more.values())) > sum(map(len, few.values()))


@pytest.mark.parametrize("name", EVERYTHING)
def test_an_operation_draws_the_same_alone(name):
    alone = by_name(draw_changes(50, only(**{name: EVERYTHING[name]}), draws_of()))
    assert len(alone) > 1
    assert_holds(by_name(draw_changes(50, only(**EVERYTHING), draws_of())), alone)


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("made_up", [operation for operation, _ in MADE_UP], ids=KINDS)
def test_adding_an_operation_leaves_what_all_others_draw(made_up, place):
    settings = More(**NOTHING.model_dump() | EVERYTHING, new=0.5)
    operations = (made_up, *OPERATIONS) if place == "first" else (*OPERATIONS, made_up)
    few, more = (by_name(draw_changes(50, settings, draws_of(), given)) for given in (OPERATIONS, operations))
    assert more.pop("new")[0].any()
    assert more.keys() == few.keys()
    for name, drawn in few.items():
        assert all(torch.equal(one, other) for one, other in zip(drawn, more[name], strict=True))


@pytest.mark.parametrize(("made_up", "expected"), MADE_UP, ids=KINDS)
def test_an_entry_is_all_that_an_operation_needs_to_change_images(made_up, expected):
    images = noisy(6, 12, 16, 3)
    x = varied(images, More(**NOTHING.model_dump(), new=1.0), operations=(*OPERATIONS, made_up))
    torch.testing.assert_close(x, expected(to_unit(images)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_drawn_is_a_function_of_the_seed(seed):
    first, again, other = (by_name(draw_changes(50, only(**EVERYTHING), draws_of(s))) for s in (seed, seed, seed + 7))
    assert_holds(first, again)
    for name, drawn in first.items():
        assert not any(torch.equal(one, another) for one, another in zip(drawn, other[name], strict=True))


def test_no_two_operations_draw_the_same_numbers():
    drawn = draw_changes(50, only(translate=0.1, scale=0.1, brightness=0.1, contrast=0.1), draws_of()).drawn
    amounts = torch.stack([values for _, values in drawn])
    assert len(amounts) == 5 and (torch.cdist(amounts, amounts) + torch.eye(5)).min() > 0.1


def test_every_parameter_belongs_to_an_operation():
    used = {operation.parameter for operation in (*OPERATIONS, *MIXINGS)}
    assert used - {None} | {"trivial"} == set(AugmentParams.model_fields)


def test_every_parameter_has_a_value_that_the_tests_of_this_folder_run_with():
    assert EVERYTHING.keys() | {operation.parameter for operation in MIXINGS} == set(AugmentParams.model_fields)


def test_every_operation_has_a_name_of_its_own():
    names = [operation.name for operation in (*OPERATIONS, *MIXINGS)]
    assert len(set(names)) == len(names) and not {"crop", "trivial"} & set(names)
