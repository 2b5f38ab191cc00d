"""Typed text to values and runs, and the sentence at the field that it concerns."""

import pytest

from tests.conftest import REPO
from vit.config.entries import combinations, differences, entry_problems, flat, nested, runs_of, typed
from vit.config.params_file import problems
from vit.config.presets import load_preset, preset_names
from vit.errors import UserError

DIGITS = load_preset("digits", REPO / "presets").params.model_dump(by_alias=True)


def entries(**changes) -> dict[str, list[object]]:
    several = {key.replace("__", "."): values for key, values in changes.items()}
    return {key: [value] for key, value in flat(DIGITS).items()} | several


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("train.lr", "3e-4", 0.0003),
        ("train.patience", "", None),
        ("train.patience", "null", None),
        ("train.threads", "auto", "auto"),
        ("pack.image_size", "[8, 16]", [8, 16]),
        ("data.path", "a,b", "a,b"),
        ("split.group_regex", r"^(\d+)_", r"^(\d+)_"),
        ("split.group_regex", "", None),
        ("evaluate.questions", "{round: [a, b]}", {"round": ["a", "b"]}),
    ],
)
def test_text_is_read_as_in_params_yaml(key, text, value):
    assert typed(key, text, is_several=False) == [value]


@pytest.mark.parametrize(
    ("key", "text", "values"),
    [
        ("train.lr", "0.001, 3e-4", [0.001, 0.0003]),
        ("train.patience", "null, 3", [None, 3]),
        ("pack.image_size", "[8, 8], [16, 16]", [[8, 8], [16, 16]]),
        ("model.name", "vit, torchvision/resnet18", ["vit", "torchvision/resnet18"]),
        ("data.path", '"a,b", c', ["a,b", "c"]),
    ],
)
def test_commas_separate_the_values_of_a_grid(key, text, values):
    assert typed(key, text, is_several=True) == values


@pytest.mark.parametrize("text", ["[1", "1: 2: 3", "!!python/object:os.system x", "1], [2"])
def test_text_that_is_no_value_is_refused(text):
    with pytest.raises(UserError, match=r"train.lr: cannot read"):
        typed("train.lr", text, is_several=True)


def test_every_parameter_has_one_place_in_sections_and_by_dotted_key():
    for name in preset_names(REPO / "presets"):
        values = load_preset(name, REPO / "presets").params.model_dump(by_alias=True)
        assert nested(flat(values)) == values and problems(values) == {}


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"train__lr": [-1.0]}, {"train.lr"}),
        ({"train__min_lr": [5.0]}, {"train.lr", "train.min_lr"}),
        ({"model__num_heads": [3]}, {"model.embed_dim", "model.num_heads"}),
        ({"pack__image_size": [[9, 8]]}, {"pack.image_size", "model.patch_size"}),
        ({"pack__image_size": [[0, 8]]}, {"pack.image_size"}),
        ({"train__augment.hflip": [2.0], "train__patience": [0]}, {"train.augment.hflip", "train.patience"}),
    ],
)
def test_a_problem_stands_at_every_key_that_it_concerns(changes, keys):
    assert entry_problems(entries(**changes)).keys() == keys


def test_a_grid_is_every_combination_and_one_wrong_combination_is_told():
    grid = entries(train__lr=[0.1, 0.01], model__num_heads=[2, 4])
    runs = [(run["train"]["lr"], run["model"]["num_heads"]) for run in combinations(grid)]
    assert runs_of(grid) == 4 and sorted(runs) == [(0.01, 2), (0.01, 4), (0.1, 2), (0.1, 4)]
    assert entry_problems(grid) == {}
    assert "num_heads 3 must divide" in entry_problems(entries(model__num_heads=[4, 3]))["model.num_heads"]
    many = entries(train__seed=list(range(300)))
    assert entry_problems(many) == {"train.seed": "300 runs are more than the 200 of a grid; take out values"}


def test_only_what_differs_is_set_and_a_mapping_is_never_merged_unseen():
    assert differences(entries(), DIGITS) == {}
    assert differences(entries(train__lr=[0.002], train__warmup_epochs=[5]), DIGITS) == {}
    assert differences(entries(train__lr=[0.002, 0.1]), DIGITS) == {"train.lr": [0.002, 0.1]}
    asked = DIGITS | {"evaluate": DIGITS["evaluate"] | {"questions": {"round": ["0", "8"]}}}
    assert differences(entries(), asked) == {"evaluate.questions": [None]}
    with pytest.raises(UserError, match=r"evaluate.questions: `dvc exp run -S` would add to the mapping"):
        differences(entries(evaluate__questions=[{"straight": ["1"]}]), asked)
