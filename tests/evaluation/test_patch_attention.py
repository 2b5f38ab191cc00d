"""What a clicked patch attends to, against rows picked by hand."""

import numpy as np
import pytest
import torch

from tests.kinds import WITH_ATTENTION, classifier_of, images
from vit.errors import UserError
from vit.evaluation.explain import relevance_maps, rollout_maps
from vit.evaluation.patch_attention import head_maps, relevance_matrix, rollout_matrix, seen_from

PREFIX = {"cls": 1, "avg": 0, "distilled": 2, "conv": 1}


@pytest.mark.parametrize("kind", WITH_ATTENTION)
def test_a_patch_sees_what_its_query_and_the_keys_say(kind):
    classifier, image = classifier_of(kind), images()
    with torch.no_grad():
        block, tokens = classifier.model.blocks[0], []
        block.norm1.register_forward_hook(lambda module, inputs, output: tokens.append(output[0]))
        classifier.logits(image)
        q, k = (tokens[0] @ block.attn.qkv.weight.T + block.attn.qkv.bias)[:, :32].split(16, dim=1)
        query = PREFIX[kind] + 2 * 4 + 3  # row 2, column 3 of four columns
        weights = torch.exp(q[query, 8:] @ k[:, 8:].T / 8**0.5)  # the second head of two
        by_hand = (weights / weights.sum())[PREFIX[kind] :].reshape(4, 4)
    seen = seen_from(head_maps(classifier, image)[0, 0, 1], classifier, (2, 3))
    np.testing.assert_allclose(seen, by_hand.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", WITH_ATTENTION)
def test_what_the_head_reads_is_the_map_that_ask_and_predict_draw(kind):
    classifier, image = classifier_of(kind), images()
    flow = seen_from(rollout_matrix(head_maps(classifier, image)), classifier, None)
    np.testing.assert_allclose(flow, rollout_maps(classifier, image)[0], rtol=1e-5)
    relevance = seen_from(relevance_matrix(classifier, image[0], 2), classifier, None)
    np.testing.assert_allclose(relevance, relevance_maps(classifier, image, torch.tensor([2]))[0], rtol=1e-5)


def test_a_model_without_attention_is_refused_in_a_sentence():
    with pytest.raises(UserError, match=r"model\.name is cnn, which has no attention maps"):
        head_maps(classifier_of("cnn"), images())
