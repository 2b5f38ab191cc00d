import copy

import torch
from torch import nn

from vit.inference.head_input import HeadInput


def test_a_model_whose_head_is_read_can_be_copied_and_its_copy_predicts_the_same():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))
    x = torch.ones(1, 3)
    with HeadInput(model) as head:
        expected = model(x)
        assert torch.equal(head.last(), model[0](x))
        assert torch.equal(copy.deepcopy(model)(x), expected)
