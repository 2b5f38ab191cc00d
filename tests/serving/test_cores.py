import torch

from vit.serving.cores import Cores


def test_a_request_alone_has_all_cores_and_several_divide_them(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    given = []
    cores = Cores()
    cores.set_threads = given.append
    with cores.share(), cores.share(), cores.share(), cores.share(), cores.share():
        pass
    with cores.share():
        pass
    assert given == [4, 2, 1, 1, 1, 4]


def test_a_request_that_fails_gives_its_cores_back():
    threads, cores = torch.get_num_threads(), Cores()
    try:
        with cores.share():
            raise KeyError
    except KeyError:
        pass
    with cores.share():
        assert torch.get_num_threads() == threads
