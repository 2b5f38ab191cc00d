"""Trainings of models with batch norm, whose running statistics are a state beside the weights."""

import pytest
import torch
from torch import nn

from tests.shapes import Training, shapes, untrained
from tests.training.common import params_for, same
from tests.training.test_loop import Killed, die_after
from vit.errors import UserError
from vit.inference.classifier import Classifier
from vit.training.distributed import World
from vit.training.loop import evaluate
from vit.training.optim import new_average, new_optimizers

pytestmark = pytest.mark.long

MODELS = {
    "cnn": {"model.name": "cnn"},
    "conv stem": {"model.stem": "conv", "model.patch_size": 4, "model.stem_widths": [16, 32]},
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return shapes(folder, 10, seed=0), shapes(folder, 4, seed=1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_killed_training_continues_to_the_very_same_end_statistics_and_their_average_included(
    tmp_path, parts, model, precision
):
    params = params_for(tmp_path, **model, **{"train.ema_decay": 0.9, "train.precision": precision})
    whole = Training(params, parts, tmp_path / "whole").run()
    with pytest.raises(Killed):
        Training(params, parts, tmp_path / "killed").run(die_after(2))
    continued = Training(params, parts, tmp_path / "killed").run()
    assert continued.progress.history == whole.progress.history
    assert same(continued.classifier.model.state_dict(), whole.classifier.model.state_dict())
    assert same(continued.progress.best_weights, whole.progress.best_weights)
    assert whole.progress.history[-1]["train_loss"] < whole.progress.history[0]["train_loss"]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_kept_average_answers_as_val_judged_it_and_is_saved_with_its_statistics(tmp_path, parts, model):
    params = params_for(tmp_path, **model, **{"train.ema_decay": 0.9})
    training = Training(params, parts, tmp_path / "a").run()
    best = training.progress.best
    untrained(params, parts[0]).save(tmp_path / "model", training.progress.best_weights)
    kept = Classifier.load(tmp_path / "model")
    val = evaluate(kept, parts[1], 64, World())
    assert (val.loss, val.accuracy) == (best["val_loss"], best["val_accuracy"])


def test_the_statistics_are_averaged_as_the_weights_are(tmp_path, parts):
    params = params_for(tmp_path, **MODELS["cnn"], **{"train.ema_decay": 0.75})
    model = untrained(params, parts[0]).model
    average = new_average(model, params.train)
    norm, averaged = (one.get_submodule("features.0.1") for one in (model, average.module))
    seen = []
    for value in (4.0, 8.0, 0.0):
        norm.running_var.fill_(value)
        average.update_parameters(model)
        seen.append(averaged.running_var[0].item())
    assert seen == [4.0, 5.0, 3.75]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_filters_decay_and_norms_and_biases_do_not(tmp_path, parts, model):
    params = params_for(tmp_path, **model, **{"train.weight_decay": 0.25})
    classifier = untrained(params, parts[0])
    (optimizer,) = new_optimizers(classifier.model, params.train)
    decays = {id(one): group["weight_decay"] for group in optimizer.param_groups for one in group["params"]}
    for module in classifier.model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            is_matrix = isinstance(module, (nn.Linear, nn.Conv2d)) and name == "weight"
            assert decays[id(parameter)] == (0.25 if is_matrix else 0.0), (module, name)


def test_a_batch_in_pieces_is_normalized_piece_by_piece_which_is_said(tmp_path, parts, caplog):
    caplog.set_level("INFO", logger="vit")
    params = params_for(tmp_path, **MODELS["conv stem"], **{"train.grad_accum_steps": 16, "train.batch_size": 32})
    progress = Training(params, parts, tmp_path / "a").run().progress  # the last batch of 8 leaves half of them empty
    assert all(torch.isfinite(value).all() for value in progress.best_weights.values())
    assert "batch norm normalizes each of the 16 micro-batches separately" in caplog.text
    caplog.clear()
    Training(params_for(tmp_path, **MODELS["conv stem"]), parts, tmp_path / "b")
    assert caplog.text == ""


def test_a_single_image_that_batch_norm_cannot_normalize_ends_the_training_naming_the_batch_size(tmp_path, parts):
    # 40 images in batches of 39; the last filters see one place of an image of 8x8.
    training = Training(params_for(tmp_path, **MODELS["cnn"], **{"train.batch_size": 39}), parts, tmp_path / "a")
    with pytest.raises(UserError, match=r"single image.* change train.batch_size \(39\)"):
        training.run()
