"""Versions before the gate, in a real MLflow database: who leads, what is kept, and what is never judged again."""

import json
import subprocess
from dataclasses import replace
from math import log

import pytest
from PIL import Image

from tests.contents import of_the_same_run
from tests.registry.conftest import all_that_is_kept, champion, numbers, set_champion_by_other_means
from vit.data.audit.scan import look
from vit.inference.classifier import Classifier
from vit.registry.champions import WAS_CHAMPION
from vit.registry.publish import publish

pytestmark = pytest.mark.long


def verdict(content) -> str:
    return publish(content, "vit").verdict


def test_the_first_version_leads_and_says_that_there_was_none(publisher, client):
    published = publish(publisher.content(1, right=50), "vit")
    assert published.verdict == "is now champion because there was none: val accuracy 0.5000, all floors met"
    assert champion(client) == "1"
    assert client.get_model_version("vit", "1").tags["gate/outcome"] == "first champion"


def test_a_clearly_better_version_leads_and_a_hardly_better_an_equal_and_a_worse_one_do_not(three, publisher, client):
    for number, right in ((4, 92), (5, 90), (6, 60)):
        assert verdict(publisher.content(number, right)).startswith("does not replace champion 3: not")
    # The sixth look at these images: p is 2 / 2^10, below .1 / 42.
    assert verdict(publisher.content(7, right=100)).startswith(
        "is now champion: better: 1.0000 against 0.9000 on 100 val"
    )
    assert champion(client) == "7"


def test_a_version_that_answers_alike_leads_only_if_it_is_cheaper(publisher, client):
    verdict(publisher.content(1, right=80, depth=2))
    assert "not worse, but not cheaper either" in verdict(publisher.content(2, right=80, depth=2))
    assert "not worse, but not cheaper either" in verdict(publisher.content(3, right=80, depth=3))
    assert "is now champion: not worse and cheaper" in verdict(publisher.content(4, right=80, depth=1))
    found = numbers(client, "4")
    assert all(found["cost"][key] < found["champion_cost"][key] for key in ("parameters", "multiply_adds"))


def test_groups_of_like_images_count_as_what_they_are(publisher, client):
    # 15 more right images, which are 15 observations or, as frames of two shots, no more than two.
    images = publisher.parts()
    shots = [row | {"group": f"shot {index // 15}"} for index, row in enumerate(images)]
    verdict(publisher.content(1, right=70, images=shots))
    assert "does not replace champion 1: not worse, but not" in verdict(publisher.content(2, 85, shots))
    assert verdict(publisher.content(3, right=85, images=images)).startswith("is now champion: better")


def test_the_gate_goes_by_the_metric_that_a_person_names(publisher, client):
    by_label: dict[str, list[dict]] = {}
    for row in publisher.rows:
        by_label.setdefault(row["label"], []).append(row)
    frequent, *others = by_label.values()  # 40 images, and 8 of each of three classes
    val = [*frequent, *(row for rows in others for row in rows[:8])]
    images = [row | {"part": "val"} for row in val] + [row | {"part": "train"} for row in others[0][8:]]
    # 40 of 64 are right, none of a rare class, then 14 + 24 of 64.
    first, second = [True] * 40 + [False] * 24, [True] * 14 + [False] * 26 + [True] * 24
    balanced = {"metric": "balanced_accuracy"}
    verdict(publisher.content(1, first, images, rules=balanced))
    assert "not shown to be better: 0.5938 against 0.6250" in verdict(publisher.content(2, second, images))
    said = verdict(publisher.content(3, second, images, rules=balanced))
    expected = "balanced accuracy 0.8375 against 0.2500 (accuracy 0.5938 against 0.6250) on 64 val images"
    assert f"champion: better: {expected}" in said
    found = numbers(client, "3")
    assert (found["metric"], found["score"], found["champion_score"]) == ("balanced_accuracy", 0.8375, 0.25)
    floor = publisher.content(4, [True] * 64, images, rules=balanced | {"min_accuracy": 1.0, "max_ece": 0.2})
    assert "a floor is not met: calibration error 0.3000" in verdict(floor)


def test_by_log_loss_surer_predictions_lead_and_a_champion_is_run_on_images_without_stored_ones(publisher, client):
    by_loss, train = {"metric": "log_loss"}, slice(100, 160)
    verdict(publisher.content(1, 0, publisher.parts(train, val=slice(0, 50)), rules=by_loss))
    assert "better: log loss 0.5513 against" in verdict(publisher.content(2, right=90, rules=by_loss))
    others = [row for row in publisher.parts(val=slice(50, 100)) if row["part"] == "val"]
    model = Classifier.load(publisher.folder / "content1" / "model")
    answers = model.classify([publisher.folder / "raw0" / row["path"] for row in others])
    losses = [-log(answer["probabilities"][row["label"]]) for answer, row in zip(answers, others, strict=True)]
    # Of the 50 stored ones, all are wrong, and the label has a third of 1 - .7.
    assert numbers(client, "2")["champion_score"] == pytest.approx((50 * -log(0.1) + sum(losses)) / 100)
    assert "not worse, but not cheaper" in verdict(publisher.content(3, right=90, confidence=0.9))
    # 90 right and 10 wrong: -.9 ln .7 - .1 ln .1, and -.9 ln .9 - .1 ln .0333.
    said = verdict(publisher.content(4, right=90, confidence=0.9, rules=by_loss))
    assert "champion: better: log loss 0.4349 against 0.5513 (accuracy 0.9000 against 0.9000)" in said
    assert "lower by +0.1163" in said


@pytest.mark.parametrize(
    ("changes", "rules", "said"),
    [
        ({}, {"min_accuracy": 0.95}, "val accuracy 0.9000 is below register.min_accuracy 0.95"),
        # Confident by 0.7 and right by 0.9: the gap is 0.2.
        ({}, {"max_ece": 0.19}, "calibration error 0.2000 on val is above register.max_ece 0.19"),
        ({"leakage": 0.3}, {"max_leakage": 0.1}, "leakage 0.3000 of test is above register.max_leakage 0.1"),
        ({"val_leakage": 0.3}, {"max_leakage": 0.1}, "leakage 0.3000 of val is above register.max_leakage 0.1"),
    ],
)
def test_what_misses_a_floor_never_leads_not_even_where_there_is_no_champion(publisher, client, changes, rules, said):
    low = publisher.content(1, right=90, rules=rules, **changes)
    assert verdict(low).startswith("is not champion: a floor is not met") and champion(client) is None
    assert verdict(publisher.content(2, right=20)).startswith("is now champion because there was none")
    assert verdict(low).startswith("does not replace champion 2: a floor is not met") and champion(client) == "2"
    assert said in client.get_model_version("vit", "1").tags["gate/reason"]


def test_a_model_of_a_subset_or_a_fold_never_leads_and_the_refusal_is_kept(publisher, client):
    part = publisher.content(1, right=90, may_lead=False)
    assert "subset" in verdict(part) and champion(client) is None
    version = client.get_model_version("vit", "1")
    assert (version.tags["gate/decision"], version.tags["gate/outcome"]) == ("refused", "trained on a subset or a fold")
    kept = all_that_is_kept(publisher.folder)
    assert "subset" in verdict(part) and all_that_is_kept(publisher.folder) == kept


def test_decision_numbers_and_reason_are_on_the_version_of_a_refusal_too(three, publisher, client):
    verdict(publisher.content(4, right=93))
    version = client.get_model_version("vit", "4")
    assert (version.tags["gate/decision"], version.tags["gate/champion"]) == ("refused", "3")
    found = numbers(client, "4")
    expected = {"images": 100, "accuracy": 0.93, "champion_accuracy": 0.9, "difference": 0.03, "low": 0.0}
    expected |= {
        "p": 0.25,
        "look": 3,
        "confidence": 1 - 0.1 / 12,
        "margin": 0.01,
        "val_accuracy": 0.93,
        "leakage": 0.0,
        "val_leakage": 0.0,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)  # p: 3 of 3 disputed images, 2 / 2^3
    assert 0.03 < found["high"] < 0.1
    assert f"- Gate against champion 3: refused, {version.tags['gate/reason']}\n" in version.description
    assert version.description.startswith("card 4")


def test_publishing_again_judges_nothing_again_and_changes_nothing(three, publisher, client):
    content = publisher.content(4, right=91)
    verdict(content)
    before = all_that_is_kept(publisher.folder)
    assert verdict(content).startswith("was judged before against champion 3: refused, not worse")
    assert all_that_is_kept(publisher.folder) == before
    # Neither other rules nor other answers of the same weights open the case again.
    assert verdict(publisher.content(4, right=100, rules={"confidence": 0.5})).startswith("was judged before")
    assert champion(client) == "3"


@pytest.mark.slow
def test_a_pair_is_judged_once_whichever_of_the_two_leads(publisher, client):
    first, second = publisher.content(1, right=50), publisher.content(2, right=40)
    verdict(first), verdict(second)
    set_champion_by_other_means(client, "2")
    client.delete_model_version_tag("vit", "1", WAS_CHAMPION)
    assert "which was judged against it: refused, not shown to be better" in verdict(first)
    assert champion(client) == "2"


@pytest.mark.parametrize("back_to", ["1", pytest.param(None, marks=pytest.mark.slow)])
def test_a_version_that_was_champion_returns_only_by_hand(three, client, back_to):
    if back_to:
        set_champion_by_other_means(client, back_to)
    else:
        client.delete_registered_model_alias("vit", "champion")
    said = "was champion before and returns only by hand: vit registry promote 3 --reason TEXT"
    assert verdict(three[2]) == said and champion(client) == back_to


def test_a_judge_that_was_cut_off_before_the_alias_moved_is_finished_without_judging_again(three, client):
    kept = client.get_model_version("vit", "3").tags["gate/reason"]
    set_champion_by_other_means(client, "2")
    client.delete_model_version_tag("vit", "3", WAS_CHAMPION)
    assert verdict(three[2]) == f"is now champion: promoted, {kept}" and champion(client) == "3"


def test_images_on_which_either_was_trained_are_left_out_by_content_not_by_name(publisher, client):
    verdict(publisher.content(1, right=0, images=publisher.parts(train=slice(100, 160), val=slice(0, 100))))
    # 60 val images of the second are train images of the first; renaming them, or saving them anew, hides nothing.
    images = publisher.parts(train=slice(0, 60), val=slice(60, 160))
    for row in images[100:]:
        renamed = row["path"].replace("0", "x").replace(".png", ".bmp")
        Image.open(publisher.folder / "raw0" / row["path"]).save(publisher.folder / "raw0" / renamed)
        seen = look(publisher.folder / "raw0" / renamed)
        assert seen.file != row["file_sha256"]
        row |= {"path": renamed, "file_sha256": seen.file, "pixels_sha256": seen.pixels}
    assert verdict(publisher.content(2, right=100, images=images)).startswith("is now champion: better")
    assert numbers(client, "2")["images"] == 40


def test_too_few_images_that_neither_was_trained_on_refuse(publisher, client):
    verdict(publisher.content(1, right=0, images=publisher.parts(train=slice(29, 160), val=slice(0, 29))))
    second = publisher.content(2, right=100, images=publisher.parts(train=slice(100, 160), val=slice(0, 100)))
    assert verdict(second) == (
        "does not replace champion 1: too few images: 29 val images that neither was trained on, "
        "register.min_images is 30"
    )


def test_a_champion_without_stored_answers_is_run_on_the_images_and_one_with_some_on_the_others(publisher, client):
    verdict(publisher.content(1, right=0, images=publisher.parts(train=slice(100, 160), val=slice(0, 50))))
    second = publisher.content(2, right=100, images=publisher.parts(train=slice(100, 160), val=slice(0, 100)))
    assert verdict(second).startswith("is now champion: better")
    others = [row for row in publisher.parts(val=slice(50, 100)) if row["part"] == "val"]
    model = Classifier.load(publisher.folder / "content1" / "model")
    answers = model.classify([publisher.folder / "raw0" / row["path"] for row in others])
    right = sum(answer["label"] == row["label"] for answer, row in zip(answers, others, strict=True))
    assert 0 < right < 50  # an untrained model answers with one class or two
    assert numbers(client, "2")["champion_accuracy"] == right / 100


def test_answers_of_another_version_of_the_same_run_are_not_taken_for_the_champions(publisher, client):
    first = publisher.content(1, right=0)
    verdict(first)
    verdict(of_the_same_run(first, "9" * 64))  # the run now shows the answers of this one
    assert champion(client) == "1"
    verdict(publisher.content(2, right=100))
    assert numbers(client, "3")["champion_accuracy"] > 0  # 0 by what was stored


@pytest.mark.slow
def test_a_champion_from_before_the_tables_is_compared_if_its_digests_are_the_same_and_refused_if_not(
    publisher, client
):
    old = publisher.content(1, right=50)
    verdict(replace(old, artifacts={"": old.artifacts["audit"]}, version_tags={"train_sha256": "a", "val_sha256": "b"}))
    other = publisher.content(2, right=90)
    assert "unknown training images: champion 1 has no list of its images" in verdict(other)
    alike = replace(publisher.content(3, right=100), version_tags={"train_sha256": "a", "val_sha256": "b"})
    assert verdict(alike).startswith("is now champion: better")


@pytest.mark.slow
def test_a_champion_with_other_classes_or_of_other_origin_is_not_compared(publisher, client):
    first = publisher.content(1, right=0)
    config = first.model_folder / "config.json"
    config.write_text(config.read_text().replace("checkerboard", "chessboard"))
    verdict(first)
    assert "does not replace champion 1: different classes" in verdict(publisher.content(2, right=100))
    foreign = client.create_model_version("vit", "nowhere", publish(first, "vit").run.info.run_id)
    set_champion_by_other_means(client, str(foreign.version))
    assert "not comparable: champion 3 is not a model of this pipeline" in verdict(publisher.content(4, right=100))


def test_a_champion_of_a_newer_release_is_not_compared_and_the_key_that_is_unknown_here_is_named(publisher, client):
    first = publisher.content(1, right=0)
    config = first.model_folder / "config.json"
    values = json.loads(config.read_text())
    values["model"]["registers"] = 4
    config.write_text(json.dumps(values))
    verdict(first)
    said = verdict(publisher.content(2, right=100))
    assert "not comparable: champion 1 cannot be run" in said and "model.registers in its config.json" in said


def test_a_new_card_keeps_how_the_version_fared(publisher, client):
    content = publisher.content(1, right=50)
    verdict(content)
    notes = client.get_model_version("vit", "1").description.removeprefix("card 1")
    assert "Gate: promoted, first champion" in notes
    verdict(replace(content, card="new card", files_key="other"))
    assert client.get_model_version("vit", "1").description == "new card" + notes


@pytest.mark.slow
def test_a_version_whose_run_is_gone_hands_verdicts_and_reign_to_its_successor(publisher, client):
    contents = [publisher.content(1, right=50), publisher.content(2, right=80), publisher.content(3, right=81)]
    runs = [publish(content, "vit").run.info.run_id for content in contents]
    store = f"sqlite:///{publisher.folder}/mlflow.db"
    client.delete_run(runs[1])
    gone = ["mlflow", "gc", "--backend-store-uri", store, "--tracking-uri", store, "--run-ids", runs[1]]
    subprocess.run(gone, check=True, capture_output=True)
    again = publish(contents[1], "vit")
    assert again.verdict == "is champion" and str(again.version.version) == champion(client) == "4"
    assert "Gate against champion 1: promoted" in client.get_model_version("vit", "4").description
    assert verdict(contents[2]).startswith("was judged before against champion 4")
