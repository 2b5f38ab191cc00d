from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from tests.drawn import draw, noise
from tests.presets import preset
from tests.shapes import CLASSES, shapes, untrained
from vit.data.images import load_image
from vit.data.pack import pack_images
from vit.errors import UserError
from vit.evaluation.explain import model_input
from vit.files import read_json, write_json, write_table
from vit.inference.bfloat16 import PackedLinear
from vit.inference.classifier import CONFIG, WEIGHTS, Classifier


@pytest.fixture
def part(tmp_path):
    return shapes(tmp_path, 5)


@pytest.fixture(params=["math", "fused"])
def classifier(request, tmp_path, part) -> Classifier:
    changes = {"train.device": "cpu", "train.attention": request.param, "model.drop_rate": 0.3}
    return untrained(preset(tmp_path, "shapes", changes), part)


def saved(classifier: Classifier, folder):
    classifier.save(folder, classifier.model.state_dict())
    return folder


def test_a_saved_model_gives_the_same_probabilities_to_the_last_bit(tmp_path, classifier, part):
    expected = classifier.probabilities(part.images)
    loaded = Classifier.load(saved(classifier, tmp_path / "model"))
    assert np.array_equal(loaded.probabilities(part.images), expected)
    assert loaded.config == classifier.config
    assert expected.std(axis=0).min() > 1e-4  # the untrained answers do differ from image to image


def test_probabilities_are_those_of_the_logits_divided_by_the_temperature_which_travels_with_the_model(
    tmp_path, classifier, part
):
    classifier.config["temperature"] = 0.25
    loaded = Classifier.load(saved(classifier, tmp_path / "model"))
    logits = classifier.logits(part.images)
    np.testing.assert_allclose(loaded.probabilities(part.images), (4 * logits).softmax(dim=1).numpy(), rtol=1e-5)
    assert loaded.temperature == 0.25
    assert np.array_equal(loaded.logits(part.images).numpy(), logits.numpy())


def test_a_model_from_before_temperatures_were_fitted_has_temperature_1(classifier, part):
    assert "temperature" not in classifier.config
    expected = classifier.logits(part.images).softmax(dim=1).numpy()
    assert np.array_equal(classifier.probabilities(part.images), expected)


def test_the_saved_weights_are_those_handed_over(tmp_path, classifier):
    weights = {name: torch.zeros_like(value) for name, value in classifier.model.state_dict().items()}
    classifier.save(tmp_path / "model", weights)
    loaded = Classifier.load(tmp_path / "model").model.state_dict()
    assert all(not value.any() for value in loaded.values())


def test_a_model_is_two_files_without_a_pickle(tmp_path, classifier):
    folder = saved(classifier, tmp_path / "model")
    assert sorted(path.name for path in folder.iterdir()) == sorted([CONFIG, WEIGHTS])
    assert read_json(folder / CONFIG)["classes"] == CLASSES
    assert not (folder / WEIGHTS).read_bytes().startswith((b"PK", b"\x80"))  # torch.save's zip, a bare pickle


def test_saving_twice_gives_the_same_bytes(tmp_path, classifier):
    first, second = (saved(classifier, tmp_path / name) for name in ("a", "b"))
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in (CONFIG, WEIGHTS))


@pytest.mark.parametrize("missing", [CONFIG, WEIGHTS])
def test_a_model_that_lacks_a_file_is_refused_by_that_file(tmp_path, classifier, missing):
    folder = saved(classifier, tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(UserError) as caught:
        Classifier.load(folder)
    assert str(folder) in str(caught.value) and missing in str(caught.value) and "dvc repro" in str(caught.value)


def test_no_model_at_all_is_refused_by_its_folder(tmp_path):
    with pytest.raises(UserError, match=r"no trained model in .*absent"):
        Classifier.load(tmp_path / "absent")


def test_an_answer_names_every_class_and_the_likeliest(tmp_path, classifier):
    answers = classifier.classify([draw(tmp_path / f"{seed}.png", seed) for seed in range(6)])
    assert len(answers) == 6
    for answer in answers:
        probabilities = answer["probabilities"]
        assert list(probabilities) == CLASSES
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-6)
        assert answer["confidence"] == probabilities[answer["label"]] == max(probabilities.values())


def test_a_file_is_answered_as_its_packed_pixels(tmp_path, classifier):
    paths = [draw(tmp_path / name, seed, 30, 50) for seed, name in enumerate(("a.png", "b.jpg", "c.gif"))]
    packed = np.stack([load_image(path, (8, 8), 1, "crop") for path in paths])
    expected = classifier.probabilities(torch.from_numpy(packed))
    answers = classifier.classify(paths)
    assert [list(answer["probabilities"].values()) for answer in answers] == expected.tolist()


@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_files_are_answered_as_the_packed_val_arrays_with_bars_trimmed_and_a_margin(tmp_path, part, margin):
    params = preset(tmp_path, "shapes", {"train.device": "cpu", "pack.margin": margin, "pack.trim_bars": True})
    paths = []
    for seed, name in enumerate(("a.png", "b.jpg", "c.gif", "d.png")):
        pixels = noise(60, 90, seed=seed)
        pixels[: 10 * seed] = pixels[:, 90 - 5 * seed :] = 0
        paths.append(tmp_path / "raw" / name)
        paths[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(paths[-1])
    write_table(tmp_path / "val.csv", [{"path": path.name, "label": "x", "group": path.name} for path in paths])
    pack_images(tmp_path / "raw", tmp_path / "val.csv", params.pack, "val", tmp_path / "val_images.npy")
    packed = torch.from_numpy(np.load(tmp_path / "val_images.npy"))
    plain = np.stack([load_image(path, (8, 8), 1, "crop") for path in paths])
    assert not np.array_equal(packed.numpy(), plain)

    served = Classifier.load(saved(untrained(params, part), tmp_path / "model"))
    answers = served.classify(paths)
    assert [list(answer["probabilities"].values()) for answer in answers] == served.probabilities(packed).tolist()


def test_bytes_are_answered_as_their_file(tmp_path, classifier):
    path = draw(tmp_path / "a.jpg", height=40, width=30)
    assert classifier.classify([BytesIO(path.read_bytes())]) == classifier.classify([path])


def test_the_first_unreadable_file_is_named(tmp_path, classifier):
    bad = tmp_path / "notes.png"
    bad.write_text("meow")
    with pytest.raises(UserError, match=r"notes\.png: not an image"):
        classifier.classify([draw(tmp_path / "a.png"), bad])


def test_an_image_is_normalized_by_the_statistics_that_travel_with_the_model(tmp_path, classifier, part):
    folder = saved(classifier, tmp_path / "model")
    write_json(folder / CONFIG, read_json(folder / CONFIG) | {"mean": [0.0], "std": [1.0]})
    other = Classifier.load(folder)
    assert not np.allclose(other.probabilities(part.images), classifier.probabilities(part.images))


def test_answers_do_not_depend_on_the_mode_or_the_company(classifier, part):
    alone = classifier.probabilities(part.images[:1])
    classifier.model.train()
    together = classifier.probabilities(part.images)
    np.testing.assert_allclose(together[:1], alone, atol=1e-6)


def test_the_attention_kernel_is_the_one_in_the_settings(tmp_path, classifier):
    loaded = Classifier.load(saved(classifier, tmp_path / "model"))
    asked = classifier.config["compute"]["attention"]
    assert {block.attn.fused_attn for block in loaded.model.blocks} == {asked == "fused"}


def test_bf16_is_close_and_an_unknown_precision_is_refused(classifier, part):
    expected = classifier.probabilities(part.images)
    assert np.array_equal(classifier.to("float32").probabilities(part.images), expected)
    with pytest.raises(UserError, match="precision is 'fp16'; it must be float32 or bfloat16"):
        classifier.to("fp16")
    close = classifier.to("bfloat16").probabilities(part.images)
    assert 0 < np.abs(close - expected).max() < 0.02
    has_amx = bool(torch.cpu.get_capabilities().get("amx_bf16"))
    assert {block.attn.fused_attn for block in classifier.model.blocks} == {has_amx}


def test_packed_layers_answer_as_plain_ones_and_have_gradients(classifier, part):
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bfloat16 to pack for")
    classifier.to("bfloat16")
    assert any(isinstance(module, PackedLinear) for module in classifier.model.modules())
    classifier.model.eval()
    x = model_input(classifier, part.images)
    with torch.inference_mode():
        packed = classifier.model(x).float()
    plain = classifier.model(x)
    torch.testing.assert_close(plain.detach().float(), packed, rtol=0, atol=0.05)
    plain.sum().backward()
    assert all(parameter.grad is not None for parameter in classifier.model.parameters())


def test_parameters_are_counted_without_fixed_positions(tmp_path, part):
    learned, fixed = (
        untrained(preset(tmp_path, "shapes", {"model.pos_embed": kind}), part).parameter_count
        for kind in ("learned", "sincos2d")
    )
    assert learned - fixed == 17 * 32  # 16 patches and the class token, 32 wide


def test_a_damaged_config_is_refused_naming_what_it_lacks(tmp_path, classifier):
    classifier.save(tmp_path / "model", classifier.model.state_dict())
    config = read_json(tmp_path / "model" / "config.json")
    write_json(tmp_path / "model" / "config.json", {key: config[key] for key in config if key != "margin"})
    with pytest.raises(UserError, match=r"config\.json is damaged: margin missing; download the model again"):
        Classifier.load(tmp_path / "model")
