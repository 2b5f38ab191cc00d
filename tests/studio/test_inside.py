"""Every view of Look inside and a round of Predict and check, for every kind of model: no browser."""

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.kinds import KINDS, WITH_ATTENTION, classifier_of
from tests.presets import REPO

WITHOUT = {"Attention": ("cnn", "resnet18"), "Positions": ("cnn", "resnet18", "conv")}  # kinds that lack it
VIEWS = ("Patchify", "The walk", "Attention", "Positions", "Filters", "Embeddings", "Occlusion")


@pytest.fixture
def project(work) -> Path:
    """A project with parameters, but neither data nor a published model."""
    shutil.copy(REPO / "params.yaml", work / "params.yaml")
    return work


def opened(page: str, project: Path, kind: str) -> AppTest:
    classifier = classifier_of(kind)
    (project / "model").mkdir(exist_ok=True)
    classifier.save(project / "model", classifier.model.state_dict())
    return AppTest.from_file(str(REPO / f"studio/screens/{page}.py"), default_timeout=60).run()


def said(app: AppTest) -> str:
    texts = (app.markdown, app.info, app.caption, app.error, app.header)
    return "\n".join(one.value for kind in texts for one in kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_view_opens_for_every_kind_of_model(project, kind):
    app = opened("inside", project, kind)
    for view in VIEWS:
        app.segmented_control(key="inside view").set_value(view).run()
        assert not app.exception and not app.error, (view, app.exception, [one.value for one in app.error])
        assert view in [one.value for one in app.header]
        notes = "".join(one.value for one in app.info).replace("\\", "")
        refused = kind in WITHOUT.get(view, ())
        assert ("model.name is" in notes or "model.pos_embed is none" in notes) is refused, (view, notes)


@pytest.mark.parametrize("kind", WITH_ATTENTION)
def test_rollout_and_gradient_are_shown_from_a_patch_and_from_the_head(project, kind):
    app = opened("inside", project, kind)
    app.segmented_control(key="inside view").set_value("Attention").run()
    for view in ("Rollout", "Gradient x attention"):
        for query in ("the clicked patch", "what the head reads"):
            app.segmented_control(key="attention kind").set_value(view)
            app.segmented_control(key="attention query").set_value(query).run()
            assert not app.exception and f"**{view} from" in said(app)


def test_a_missing_folder_and_one_outside_the_project_are_said_in_a_line(project):
    app = opened("inside", project, "cls")
    for typed, sentence in (("nowhere", "no trained model in 'nowhere'; name a"), ("../x", "is outside this project")):
        app.text_input(key="inside folder").set_value(typed).run()
        assert not app.exception and sentence in app.error[0].value.replace("\\", "")
        assert "dvc repro" not in said(app) and not app.code  # it makes no model in another folder
    app.text_input(key="inside folder").set_value("model").run()
    assert not app.error


def test_without_a_test_split_the_embeddings_say_how_to_make_one(project):
    app = opened("inside", project, "cls")
    app.segmented_control(key="inside view").set_value("Embeddings").run()
    assert "The test split has 0 images" in app.info[-1].value and app.code[-1].value == "dvc repro pack"


@pytest.mark.parametrize("kind", KINDS)
def test_a_round_can_be_played_with_every_kind_of_model(project, kind):
    app = opened("predict_and_check", project, kind)
    assert not app.exception and app.button[0].label == "Check" and app.button[0].disabled
    assert "Paint and check: 10 rounds make a game" in said(app)
