import pytest
import torch

from tests.shapes import shapes, untrained
from tests.training.common import params_for
from vit.config.schema import Params
from vit.training.distributed import World
from vit.training.feed import Feed


@pytest.fixture
def part(tmp_path):
    return shapes(tmp_path, 10)  # 40 images


def feed_of(params: Params, part, world: World | None = None) -> Feed:
    return Feed(untrained(params, part), part, params.train, world or World())


def batches(feed: Feed, epoch: int, done: int = 0) -> list[tuple[int, list[tuple[torch.Tensor, torch.Tensor]]]]:
    return [(count, [(x.clone(), y.clone()) for x, y in pieces]) for count, pieces in feed.epoch(epoch, done)]


def whole(pieces) -> tuple[torch.Tensor, torch.Tensor]:
    x, labels = zip(*pieces, strict=True)
    return torch.cat(x), torch.cat(labels)


def test_an_epoch_shows_every_image_once_in_batches_the_last_one_shorter(tmp_path, part):
    still = {"train.augment.degrees": 0.0, "train.augment.erasing": 0.0}
    feed = feed_of(params_for(tmp_path, **still), part)
    epoch = batches(feed, 0)
    assert [count for count, _ in epoch] == [16, 16, 8]
    x = torch.cat([whole(pieces)[0] for _, pieces in epoch])
    expected = (part.images.permute(0, 3, 1, 2) / 255 - feed.classifier.mean[0]) / feed.classifier.std[0]
    found = [(expected - one).abs().flatten(1).amax(dim=1).argmin().item() for one in x]
    assert sorted(found) == list(range(40)) and found != sorted(found)
    labels = torch.cat([whole(pieces)[1] for _, pieces in epoch])
    assert torch.equal(labels, part.labels[found])


def test_an_epoch_is_a_function_of_seed_and_number_alone(tmp_path, part):
    feed = feed_of(params_for(tmp_path), part)
    first = whole(batches(feed, 3)[0][1])
    torch.manual_seed(99)
    again = whole(batches(feed_of(params_for(tmp_path), part), 3)[0][1])
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    for different in (batches(feed, 4), batches(feed_of(params_for(tmp_path, **{"train.seed": 1}), part), 3)):
        assert not torch.equal(first[0], whole(different[0][1])[0])


def test_an_epoch_gone_on_with_is_the_rest_of_it(tmp_path, part):
    feed = feed_of(params_for(tmp_path, **{"train.augment.mixup": 0.5}), part)
    rest = batches(feed, 2)[1:]
    for (_, pieces), (_, again) in zip(rest, batches(feed, 2, done=1), strict=True):
        for one, other in zip(whole(pieces), whole(again), strict=True):
            assert torch.equal(one, other)
    assert batches(feed, 2, done=3) == []


@pytest.mark.parametrize(("size", "pieces"), [(1, 3), (2, 1), (3, 2), (5, 4)])
def test_pieces_and_processes_together_have_the_very_images_of_one_process(tmp_path, part, size, pieces):
    alone = batches(feed_of(params_for(tmp_path), part), 1)
    params = params_for(tmp_path, **{"train.grad_accum_steps": pieces})
    shared = [batches(feed_of(params, part, World(rank, size)), 1) for rank in range(size)]
    for number, (count, images) in enumerate(alone):
        x, labels = whole(images)
        shares = [share[number] for share in shared]
        assert {share[0] for share in shares} == {count}
        assert all(len(share[1]) == pieces for share in shares)
        together = whole([piece for share in shares for piece in share[1]])
        assert torch.equal(together[0], x) and torch.equal(together[1], labels)


def test_the_pieces_of_a_step_are_mixed_each_by_shares_of_its_own(tmp_path, part):
    changes = {"train.augment.mixup": 0.5, "train.grad_accum_steps": 2}
    _, pieces = batches(feed_of(params_for(tmp_path, **changes), part), 0)[0]
    highest = [targets.amax(dim=1) for _, targets in pieces]
    assert len(highest) == 2 and not torch.isclose(*highest).any()


def test_processes_drop_different_weights(tmp_path, part):
    params, drawn = params_for(tmp_path), []
    for rank in range(2):
        next(feed_of(params, part, World(rank, 2)).epoch(0))
        drawn.append(torch.rand(4))
    assert not torch.equal(*drawn)


def test_the_seconds_that_a_reader_waits_are_counted(tmp_path, part):
    feed = feed_of(params_for(tmp_path), part)
    batches(feed, 0)
    assert 0 < feed.waited < 5
