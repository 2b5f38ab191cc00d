"""The Vision Transformer with a distillation token; parity with timm's is tested with the plain one's."""

import pytest
import torch

from tests.models.test_vision_transformer import images, tiny


@pytest.mark.parametrize("pool", ["cls", "avg"])
def test_the_distillation_token_alone_answers_for_the_teacher_and_the_model_answers_the_mean(pool):
    # Without blocks nothing flows from the patches to the token, so the image cannot matter to its head.
    model = tiny(pool=pool, depth=0, distilled=True)
    with torch.no_grad():
        by_label, by_teacher = model.train()(images(2))
        assert torch.equal(by_teacher[0], by_teacher[1]) and by_teacher.any()
        assert torch.equal(by_label[0], by_label[1]) is (pool == "cls")
        torch.testing.assert_close(model.eval()(images(2)), (by_label + by_teacher) / 2)


def test_average_pooling_leaves_the_distillation_token_out():
    model = tiny(pool="avg", depth=0, distilled=True).train()
    with torch.no_grad():
        before = model(images(2))
        model.dist_token.normal_()
        after = model(images(2))
    assert torch.equal(before[0], after[0]) and not torch.allclose(before[1], after[1])


def test_a_distillation_token_adds_itself_its_position_and_its_head():
    counts = [sum(value.numel() for value in tiny(distilled=on).parameters()) for on in (False, True)]
    assert counts[1] - counts[0] == 16 + 16 + 16 * 4 + 4
