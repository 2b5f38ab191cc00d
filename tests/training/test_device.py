import pytest
import torch

from tests.presets import preset
from vit.errors import UserError
from vit.training.device import RULES, Compute, apply, choose, find_device, for_a_head
from vit.training.distributed import World


def chosen(tmp_path, **changes) -> Compute:
    params = preset(tmp_path, "shapes", {f"train.{key}": value for key, value in changes.items()})
    return choose(params.train, params.model, params.pack.image_size, World())[0]


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
    with pytest.raises(UserError, match=rf"device '{asked}' is not available on this machine .*use auto or cpu"):
        find_device(asked)
    with pytest.raises(UserError, match=f"'{asked}'"):
        chosen(tmp_path, device=asked)


def test_a_number_beyond_the_last_accelerator_is_refused():
    present = torch.accelerator.current_accelerator(check_available=True)
    if present is None:
        pytest.skip("this machine has no accelerator")
    asked = f"{present.type}:{torch.accelerator.device_count()}"
    with pytest.raises(UserError, match=f"device '{asked}' is not available on this machine"):
        find_device(asked)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("attention", ["math", "fused"])
def test_what_was_asked_for_is_what_is_used(tmp_path, precision, attention):
    compute = chosen(tmp_path, device="cpu", precision=precision, attention=attention, threads=3)
    assert compute == Compute("cpu", precision, attention, False, 3, 1, str(torch.__version__))


def test_a_cpu_writes_attention_out_and_keeps_small_models_in_float32(tmp_path):
    compute = chosen(tmp_path, device="cpu")  # the shapes preset is 32 wide, below the 96 from which bfloat16 pays
    assert (compute.precision, compute.attention) == ("float32", "math")


def test_auto_says_why_it_chose_and_that_it_had_no_choice(tmp_path):
    params = preset(tmp_path, "shapes", {"train.device": "cpu"})
    assert (
        choose(params.train, params.model, params.pack.image_size, World())[1]
        == f"auto precision and attention: {RULES[2].why}"
    )
    settled = preset(tmp_path, "shapes", {"train.precision": "float32", "train.attention": "math"})
    assert choose(settled.train, settled.model, settled.pack.image_size, World())[1] == "no auto"


def has_bfloat16() -> bool:
    supported = torch.cpu.get_capabilities()
    return bool(supported.get("amx_bf16") or supported.get("avx512_bf16"))


def test_a_wide_model_trains_in_bfloat16_where_the_processor_multiplies_it(tmp_path):
    params = preset(tmp_path, "vit_b16", {"train.device": "cpu"})
    compute, why = choose(params.train, params.model, params.pack.image_size, World())
    assert compute.precision == ("bfloat16" if has_bfloat16() else "float32")
    assert ("multiplies bfloat16" in why) is has_bfloat16()


def test_a_network_of_convolutions_trains_in_bfloat16_where_the_processor_multiplies_it_and_has_no_attention(tmp_path):
    params = preset(tmp_path, "tom_and_jerry", {"train.device": "cpu", "model.name": "cnn"})
    compute, why = choose(params.train, params.model, params.pack.image_size, World())
    assert (compute.precision, compute.attention) == ("bfloat16" if has_bfloat16() else "float32", "none")
    assert "attention" not in str(compute) and why.startswith("auto precision: ")


@pytest.mark.parametrize(("name", "side"), [("cnn", 8), ("torchvision/resnet18", 32)])
def test_convolutions_that_end_in_a_single_place_train_in_float32_on_a_cpu(tmp_path, name, side):
    params = preset(tmp_path, "tom_and_jerry", {"train.device": "cpu", "model.name": name})
    compute, why = choose(params.train, params.model, (side, side), World())
    assert compute.precision == "float32" and "end in a single position" in why


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps", "xpu"])
@pytest.mark.parametrize("name", ["vit", "cnn"])
def test_every_device_has_a_rule_for_every_model(tmp_path, device, name):
    model = preset(tmp_path, "shapes", {"model.name": name}).model
    assert [rule.applies(model, (8, 8)) for rule in RULES if rule.device == device][-1]


def test_the_processes_of_a_machine_share_its_cores(monkeypatch, tmp_path):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    params = preset(tmp_path, "shapes", {"train.device": "cpu"})
    compute, _ = choose(params.train, params.model, (8, 8), World(rank=5, size=6, local_rank=2, local_size=3))
    assert (compute.threads, compute.processes) == (2, 6)
    alone = choose(params.train, params.model, params.pack.image_size, World())[0]
    assert alone.threads == torch.get_num_threads()


def test_threads_and_deterministic_kernels_hold_for_the_process():
    threads, is_strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        apply(Compute("cpu", "float32", "math", False, threads + 1, 1, str(torch.__version__)))
        assert torch.get_num_threads() == threads + 1
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(is_strict)


@pytest.mark.parametrize(
    ("asked", "threads", "precision"),
    [({}, 1, "float32"), ({"threads": 3}, 3, "float32"), ({"precision": "bfloat16"}, 1, "bfloat16")],
)
def test_a_head_alone_gets_one_thread_and_float32_unless_it_was_asked_for_others(tmp_path, asked, threads, precision):
    params = preset(tmp_path, "shapes", {f"train.{key}": value for key, value in asked.items()})
    whole = Compute("cpu", asked.get("precision", "float16"), "math", False, asked.get("threads", 8), 1, "2.0")
    compute, why = for_a_head(whole, params.train)
    assert (compute.threads, compute.precision) == (threads, precision) and why
    assert (compute.device, compute.attention, compute.torch) == ("cpu", "math", "2.0")
