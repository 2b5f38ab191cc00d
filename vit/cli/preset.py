"""`vit preset`: write the complete params.yaml of a preset or for published weights, or list the presets."""

import click

from vit.cli.command import command, json_option, print_json
from vit.config.files import PARAMS


@command("vit preset shapes")
@click.argument("name", required=False)
@click.option("--list", "is_list", is_flag=True, help="List the presets with data, device, time and score.")
@json_option("one object per preset with title, data, device, time and score; requires --list")
@click.option(
    "--from",
    "weights",
    metavar="WEIGHTS",
    help="Start from published weights, hf-hub:OWNER/NAME@COMMIT or torchvision:NAME: write their geometry and "
    "preprocessing and a recipe for fine-tuning; the rest comes from NAME or the present params.yaml.",
)
@click.option("--force", is_flag=True, help="Overwrite a params.yaml that was edited.")
@click.option("--complete", is_flag=True, help="Keep params.yaml and add missing keys at their defaults.")
def preset(name: str | None, is_list: bool, as_json: bool, weights: str | None, force: bool, complete: bool) -> None:
    """Write the complete, commented params.yaml of a preset."""
    if sum([name is not None or weights is not None, is_list, complete]) != 1:
        raise click.UsageError("give exactly one of NAME, --from, --list and --complete; --from may come with a NAME")
    if as_json and not is_list:
        raise click.UsageError("--json requires --list")
    if is_list:
        _print_list(as_json)
    elif weights is not None:
        _write_pretrained(weights, name, force)
    elif name is not None:
        _write(name, force)
    else:
        _complete()


def _print_list(as_json: bool) -> None:
    from vit.config.presets import load_preset, preset_names

    abouts = {name: load_preset(name).about.model_dump(exclude={"recipe"}) for name in preset_names()}
    if as_json:
        print_json(abouts)
        return
    for name, about in abouts.items():
        print(f"{name}: {about.pop('title')}")
        print("".join(f"    {key.ljust(8)}{value}\n" for key, value in about.items()), end="")


def _write(name: str, force: bool) -> None:
    from vit.config.presets import load_preset

    _overwrite(load_preset(name).text(), force, f"vit preset {name} --force")
    print(f"{PARAMS} now holds preset {name}; `dvc repro` runs it")


def _write_pretrained(weights: str, name: str | None, force: bool) -> None:
    from vit.config.params_file import load_params
    from vit.config.presets import load_preset
    from vit.training.pretrained_params import find_pretrained

    preset = load_preset(name) if name else None
    base = (preset.params if preset else load_params()).model_dump(by_alias=True)
    pretrained = find_pretrained(weights, "--from")
    params = pretrained.params(base, preset.differences if preset else {})
    based_on = f"preset {name}" if name else f"the {PARAMS} of before"
    command = f"vit preset {name} --from" if name else "vit preset --from"
    _overwrite(pretrained.text(params, based_on), force, f"{command} {weights} --force")
    if pretrained.name != weights:
        print(f"{weights} is now {pretrained.name}")
    print(f"licence of the weights: {pretrained.licence or 'not stated; look at their page'}")
    height, width = params.pack.image_size
    print(f"{PARAMS} now fine-tunes them at {height}x{width} pixels, with the rest of {based_on}; `dvc repro` runs it")


def _overwrite(text: str, force: bool, command: str) -> None:
    from vit.config.presets import is_as_written
    from vit.errors import UserError
    from vit.files import write_text

    before = PARAMS.read_text(encoding="utf-8", errors="replace") if PARAMS.exists() else None
    if before is not None and before != text and not force and not is_as_written(before):
        raise UserError(f"{PARAMS} was edited; save a copy, then overwrite it with `{command}`")
    write_text(PARAMS, text)


def _complete() -> None:
    from vit.config.presets import completed
    from vit.files import write_text

    text, added = completed(PARAMS)
    if added:
        write_text(PARAMS, text)
    print(f"{PARAMS}: {'added ' + ', '.join(added) if added else 'holds every key'}")
    if added:
        print("at their defaults (docs/reference/parameters.md); a preset may use other values")
