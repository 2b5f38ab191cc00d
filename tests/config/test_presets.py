import pytest
from ruamel.yaml import YAML

from tests.presets import REPO, whole_preset
from vit.config.document import REFERENCE, reference
from vit.config.params_file import all_keys, flatten, load_params
from vit.config.presets import base_values, completed, is_as_written, load_preset, preset_names
from vit.errors import UserError

PRESETS = REPO / "presets"
NAMES = preset_names(PRESETS)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_preset_becomes_is_whole_and_means_what_the_preset_says(tmp_path, name):
    path = tmp_path / "params.yaml"
    path.write_text(whole_preset(name), encoding="utf-8")
    params = load_params(path)
    assert params == load_preset(name, PRESETS).params
    values = params.model_dump(by_alias=True)
    values["evaluate"]["questions"] = None  # a mapping with keys of a person's choice
    assert set(flatten(values)) == set(all_keys())


@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_a_preset_differs_from_the_base(name):
    base = flatten(base_values())
    differences = flatten(load_preset(name, PRESETS).differences)
    assert 10 <= len(differences) <= 40
    for key, value in differences.items():
        assert key.startswith("evaluate.questions.") or base[key] != value, key


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_explained_beside_its_value(name):
    text = whole_preset(name)
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#") and not line.startswith("    "):
            assert "#" in line, line


def test_params_yaml_is_the_digits_preset_byte_for_byte():
    assert (REPO / "params.yaml").read_text(encoding="utf-8") == whole_preset("digits")


def test_the_reference_page_is_what_the_schema_says():
    assert (REPO / REFERENCE).read_text(encoding="utf-8") == reference()
    assert all(f"| `{key}` |" in reference() for key in all_keys())


def test_a_wrong_value_is_explained_by_the_text_that_params_yaml_has(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(whole_preset("shapes").replace("  batch_size: 64", "  batch_size: 0"), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"train\.batch_size is 0: .*\(batch_size: per optimizer step, over all processes\)"
    ):
        load_params(path)


def test_a_preset_copied_over_params_yaml_is_refused_with_the_command_that_writes_it(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes((PRESETS / "shapes.yaml").read_bytes())
    with pytest.raises(UserError, match=r"is a preset, .*`vit preset NAME`"):
        load_params(path)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("model:\n  depth: 4\n", "'about' is missing"),
        ("about: {title: a, data: b, device: c, time: d, score: e, recipe: f}\nmodel: {dept: 4}\n", "'model.depth'"),
        (
            "about: {title: a, data: b, device: c, time: d, score: e, recipe: f}\nmodel: {depth: 0}\n",
            "model.depth is 0",
        ),
        ("about: {title: a}\n", "'data' is missing"),
        ("about: 3\n", "'about' is missing"),
    ],
)
def test_a_wrong_preset_is_refused_by_its_file_and_key(tmp_path, text, fragment):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_preset("mine", tmp_path)
    assert "mine.yaml" in str(caught.value) and fragment in str(caught.value)


def test_an_unknown_preset_is_refused_with_those_that_there_are():
    with pytest.raises(
        UserError, match="no preset 'digit'; available: cifar10, digits, finetune_cpu, finetune_gpu, own_images, shapes"
    ):
        load_preset("digit", PRESETS)


def test_only_a_params_yaml_that_nobody_edited_counts_as_written():
    text = whole_preset("shapes")
    assert is_as_written(text, PRESETS)
    assert not is_as_written(text.replace("epochs: 8", "epochs: 9"), PRESETS)
    assert not is_as_written(text + "# a note\n", PRESETS)


def test_completing_keeps_every_value_and_adds_what_is_missing_at_its_default(tmp_path):
    path = tmp_path / "params.yaml"
    values = YAML(typ="safe", pure=True).load(whole_preset("tom_and_jerry"))
    values["train"]["lr"] = 0.00003
    values["train"]["teacher"] = "weights/a: b #c"
    values["train"]["distillation"] = "soft"
    values["data"]["path"] = "/my images/yes"
    del values["train"]["clip_grad"], values["register"]
    YAML().dump(values, path)
    text, added = completed(path)
    assert added[0] == "train.clip_grad" and all(key.startswith("register.") for key in added[1:])
    path.write_text(text, encoding="utf-8")
    again = load_params(path).model_dump(by_alias=True)
    assert again.pop("register") == base_values()["register"]
    assert again["train"].pop("clip_grad") == 1.0
    assert again["train"]["lr"] == 0.00003 and again["train"]["teacher"] == "weights/a: b #c"
    assert again["data"]["path"] == "/my images/yes"
    assert again["evaluate"]["questions"] == {"tom": ["tom", "tom_jerry_1"], "jerry": ["jerry", "tom_jerry_1"]}
    assert completed(path) == (text, [])
