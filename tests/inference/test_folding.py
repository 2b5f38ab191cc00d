import copy
import logging

import numpy as np
import pytest
import torch
from torch import nn

from tests.serving.conftest import new_classifier
from vit.inference.classifier import Classifier
from vit.inference.folding import TOLERANCE, folded

IMAGES = torch.randint(0, 256, (5, 16, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def norms(classifier: Classifier) -> list[nn.BatchNorm2d]:
    return [module for module in classifier.model.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.fixture
def trained(tmp_path) -> Classifier:
    """A model whose batch norms are no identities."""
    classifier = new_classifier(tmp_path, stem="conv", stem_widths=[8, 8, 16])
    generator = torch.Generator().manual_seed(2)
    for norm in norms(classifier):
        for values, low in ((norm.weight, 0.5), (norm.bias, -0.5), (norm.running_mean, -0.5), (norm.running_var, 0.5)):
            values.data = low + torch.rand(values.shape, generator=generator)
    return classifier


def test_a_folded_model_predicts_alike_without_batch_norms_and_the_original_stays(trained):
    before = copy.deepcopy(trained.model.state_dict())
    without = folded(trained)
    assert len(norms(trained)) == 3 and not norms(without)
    after = trained.model.state_dict()
    assert all(torch.equal(after[name], values) for name, values in before.items())
    right = trained.probabilities(IMAGES)
    assert np.ptp(right, axis=0).max() > 100 * TOLERANCE
    assert np.abs(without.probabilities(IMAGES) - right).max() <= TOLERANCE


def test_a_model_without_batch_norms_is_left_as_it_is(tmp_path):
    classifier = new_classifier(tmp_path)
    assert folded(classifier) is classifier


def test_a_model_that_would_predict_otherwise_is_not_folded_and_a_warning_says_so(trained, caplog):
    trained.model.patch_embed.convs[0][0].weight.data[:] = 3e38  # overflows unless the batch norm is folded into it
    norms(trained)[0].running_var.data[:] = 3e38
    with caplog.at_level(logging.WARNING, "vit"):
        assert folded(trained) is trained
    assert "not folded" in caplog.text
