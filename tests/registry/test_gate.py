"""The gate's rules on numbers alone, those that nobody thought of included."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.presets import REPO
from vit.config.presets import load_preset
from vit.config.schema import RegisterParams
from vit.inference.complexity import cost_of
from vit.registry.gate import Comparison, Cost, Figures, decide, missed_floors, too_few

pytestmark = pytest.mark.long

RULES = load_preset("digits", REPO / "presets").params.register_.model_dump()
GOOD = Figures(val_accuracy=0.9, val_ece=0.05, leakage=0.0)
SAME = Cost(parameters=1000, multiply_adds=5000)
CHEAPER = Cost(parameters=900, multiply_adds=5000)

shares = st.floats(0, 1)
costs = st.builds(Cost, st.integers(1, 4), st.integers(1, 4))  # few values, so that equal ones come up
all_figures = st.builds(Figures, shares, shares, shares, st.none() | shares)
all_rules = st.builds(
    lambda **changes: RegisterParams(**RULES | changes),
    confidence=st.floats(0.5, 0.99),
    margin=st.floats(0, 0.2),
    min_accuracy=st.none() | shares,
    max_ece=st.none() | shares,
    max_leakage=st.none() | shares,
)


@st.composite
def comparisons(draw) -> Comparison:
    low, difference, high = sorted(draw(st.tuples(*[st.floats(-1, 1)] * 3)))
    accuracies, p = (draw(shares), draw(shares)), draw(shares)
    return Comparison(draw(st.integers(1, 500)), *accuracies, difference, low, high, p, draw(costs), draw(costs))


def rules(**changes) -> RegisterParams:
    return RegisterParams(**RULES | changes)


def compared(low: float, p: float, cost: Cost = SAME, images: int = 200) -> Comparison:
    return Comparison(images, 0.9, 0.9, low + 0.01, low, low + 0.02, p, cost, SAME)


# confidence 0.95: better needs an interval above 0 and p below 0.05; margin 0.01: not worse needs low >= -0.01.
@pytest.mark.parametrize(
    ("low", "p", "cost", "promoted", "outcome"),
    [
        (0.001, 0.049, SAME, True, "better"),
        (0.0, 0.049, SAME, False, "not worse, but not cheaper either"),
        (0.001, 0.051, SAME, False, "not worse, but not cheaper either"),
        (0.001, 0.051, CHEAPER, True, "not worse and cheaper"),
        (-0.01, 1.0, CHEAPER, True, "not worse and cheaper"),
        (-0.011, 1.0, CHEAPER, False, "cheaper, but possibly worse"),
        (-0.011, 1.0, SAME, False, "not shown to be better"),
        (-0.5, 0.0001, SAME, False, "not shown to be better"),
    ],
)
def test_better_or_not_worse_and_cheaper_leads_and_nothing_else(low, p, cost, promoted, outcome):
    verdict = decide(GOOD, compared(low, p, cost), rules())
    assert (verdict.promoted, verdict.outcome) == (promoted, outcome)


@given(comparisons(), all_figures, all_rules)
def test_an_equal_model_is_never_promoted_unless_it_is_cheaper(comparison, figures, given_rules):
    equal = replace(comparison, difference=0.0, low=0.0, high=0.0, p=1.0)
    verdict = decide(figures, equal, given_rules)
    cheaper = equal.cost.less_than(equal.champion_cost)
    assert verdict.promoted == (cheaper and not missed_floors(figures, given_rules))


@given(comparisons(), all_figures, all_rules, shares)
def test_what_does_better_on_every_count_is_promoted_too(comparison, figures, given_rules, share):
    if not decide(figures, comparison, given_rules).promoted:
        return
    better = replace(comparison, low=min(1, comparison.low + share), p=comparison.p * share)
    surer = replace(
        figures,
        val_accuracy=min(1, figures.val_accuracy + share),
        val_ece=figures.val_ece * share,
        leakage=figures.leakage * share,
        val_leakage=None if figures.val_leakage is None else figures.val_leakage * share,
    )
    assert decide(surer, better, given_rules).promoted
    laxer = given_rules.model_copy(
        update={
            "margin": given_rules.margin + share,
            "min_accuracy": None,
            "confidence": given_rules.confidence * share,
        }
    )
    assert decide(figures, comparison, laxer).promoted


@given(comparisons(), all_figures, all_rules)
def test_no_floor_is_made_up_for_by_any_difference(comparison, figures, given_rules):
    verdict, alone = (decide(figures, against, given_rules) for against in (comparison, None))
    assert alone.promoted == (not missed_floors(figures, given_rules))
    assert alone.promoted or not verdict.promoted


@given(costs, costs, costs)
def test_no_two_models_are_cheaper_than_each_other_and_cheaper_than_cheaper_is_cheaper(one, other, third):
    assert not (one.less_than(other) and other.less_than(one))
    assert not (one.less_than(other) and other.less_than(third)) or one.less_than(third)


@pytest.mark.parametrize(
    ("changes", "figures", "said"),
    [
        ({"min_accuracy": 0.91}, GOOD, "val accuracy 0.9000 is below register.min_accuracy 0.91"),
        ({"max_ece": 0.04}, GOOD, "calibration error 0.0500 on val is above register.max_ece 0.04"),
        ({"max_leakage": 0.1}, replace(GOOD, leakage=0.2), "leakage 0.2000 of test is above register.max_leakage 0.1"),
        (
            {"max_leakage": 0.1},
            replace(GOOD, val_leakage=0.3),
            "leakage 0.3000 of val is above register.max_leakage 0.1",
        ),
        ({"max_leakage": 0.1}, replace(GOOD, val_leakage=float("nan")), "leakage nan of val is above"),
        ({"min_accuracy": 0.5}, replace(GOOD, val_accuracy=float("nan")), "val accuracy nan is below"),
    ],
)
def test_a_floor_that_does_not_hold_is_named_with_both_numbers(changes, figures, said):
    verdict = decide(figures, compared(0.5, 0.0), rules(**changes))
    assert not verdict.promoted and said in verdict.reason


def test_a_figure_equal_to_its_floor_holds():
    for val_leakage in (0.0, None):  # None: of a split by an earlier release
        equal = replace(GOOD, val_leakage=val_leakage)
        assert missed_floors(equal, rules(min_accuracy=0.9, max_ece=0.05, max_leakage=0.0)) == []


def test_one_image_fewer_than_min_images_is_too_few():
    assert too_few(100, rules(min_images=100)) is None
    assert str(too_few(99, rules(min_images=100))) == (
        "refused, too few images: 99 val images that neither was trained on, register.min_images is 100"
    )


def test_parameters_and_multiply_adds_are_those_counted_by_hand():
    config = {
        "classes": ["a", "b", "c"],
        "image_size": [4, 8],
        "channels": 1,
        "model": {
            "name": "vit", "stem": "patch", "stem_widths": [16],
            "patch_size": 2, "embed_dim": 8, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0, "qkv_bias": True,
            "pool": "cls", "pos_embed": "learned", "norm": "layernorm",
            "drop_rate": 0.0, "attn_drop_rate": 0.0, "drop_path_rate": 0.0,
        },
        "compute": {"attention": "fused"},
    }  # fmt: skip
    # D = 8, 8 patches of 4 pixels, 9 tokens with the class token. Per block: two norms 2 * 16; qkv 8 * 24 + 24; proj
    # 8 * 8 + 8; MLP 8 * 16 + 16 + 16 * 8 + 8. Around: patches 32 + 8, token 8, positions 9 * 8, norm 16, head 24 + 3.
    parameters = 2 * (32 + 216 + 72 + 280) + 40 + 8 + 72 + 16 + 27
    # Per block and token: qkv 192, proj 64, MLP 256, and 9 * 8 each for q @ k and attention @ v; then the head, once.
    multiply_adds = 8 * 32 + 2 * 9 * (192 + 64 + 256 + 72 + 72) + 24
    assert cost_of(config) == Cost(parameters, multiply_adds)
    assert cost_of(config | {"compute": {"attention": "math"}}) == Cost(parameters, multiply_adds)
