import pytest
import torch

from tests.presets import preset
from vit.errors import UserError
from vit.training.device import Compute, apply, choose, find_device


def chosen(tmp_path, **changes) -> Compute:
    params = preset(tmp_path, "shapes", {f"train.{key}": value for key, value in changes.items()})
    return choose(params.train, params.model)


def test_auto_comes_to_a_device_that_can_hold_a_tensor(tmp_path):
    device = find_device("auto")
    assert torch.ones(2, device=device).sum().item() == 2
    compute = chosen(tmp_path)
    assert compute.device == str(device)
    assert "auto" not in (compute.device, compute.precision, compute.attention)
    assert compute.threads == torch.get_num_threads()


def test_auto_is_the_cpu_only_where_there_is_no_accelerator():
    assert (find_device("auto").type == "cpu") is (torch.accelerator.current_accelerator(check_available=True) is None)


@pytest.mark.parametrize("asked", ["cuda", "cuda:1", "mps", "xpu"])
def test_an_absent_device_is_refused_by_name_with_the_way_out(tmp_path, asked):
    present = torch.accelerator.current_accelerator(check_available=True)
    if present is not None and present.type == asked.split(":")[0]:
        pytest.skip(f"this machine has a {present.type} device")
    with pytest.raises(UserError, match=rf"device '{asked}' is not on this machine .*use auto or cpu"):
        find_device(asked)
    with pytest.raises(UserError, match=f"'{asked}'"):
        chosen(tmp_path, device=asked)


def test_a_number_beyond_the_last_accelerator_is_refused():
    present = torch.accelerator.current_accelerator(check_available=True)
    if present is None:
        pytest.skip("this machine has no accelerator")
    asked = f"{present.type}:{torch.accelerator.device_count()}"
    with pytest.raises(UserError, match=f"device '{asked}' is not on this machine"):
        find_device(asked)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("attention", ["math", "fused"])
def test_what_was_asked_for_is_what_is_used(tmp_path, precision, attention):
    compute = chosen(tmp_path, device="cpu", precision=precision, attention=attention, threads=3)
    assert compute == Compute("cpu", precision, attention, 3, str(torch.__version__))


def test_a_cpu_writes_attention_out_and_keeps_small_models_in_float32(tmp_path):
    compute = chosen(tmp_path, device="cpu")  # the shapes preset is 32 wide, below the 128 from which bfloat16 pays
    assert (compute.precision, compute.attention) == ("fp32", "math")


def test_threads_and_deterministic_kernels_hold_for_the_process():
    threads, is_strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        apply(Compute("cpu", "fp32", "math", threads + 1, str(torch.__version__)))
        assert torch.get_num_threads() == threads + 1
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(is_strict)
