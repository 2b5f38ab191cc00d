"""`vit preset`: write the complete params.yaml of a preset, or list the presets."""

import click

from vit.cli.command import command, json_option, print_json
from vit.config.files import PARAMS


@command("vit preset shapes")
@click.argument("name", required=False)
@click.option("--list", "is_list", is_flag=True, help="List the presets with data, device, time and score.")
@json_option("one object per preset with title, data, device, time and score; requires --list")
@click.option("--force", is_flag=True, help="Overwrite a params.yaml that was edited.")
@click.option("--complete", is_flag=True, help="Keep params.yaml and add missing keys at their defaults.")
def preset(name: str | None, is_list: bool, as_json: bool, force: bool, complete: bool) -> None:
    """Write the complete, commented params.yaml of a preset."""
    if sum([name is not None, is_list, complete]) != 1:
        raise click.UsageError("give exactly one of NAME, --list and --complete")
    if as_json and not is_list:
        raise click.UsageError("--json requires --list")
    if is_list:
        _print_list(as_json)
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
    from vit.config.presets import is_as_written, load_preset
    from vit.errors import UserError
    from vit.files import write_text

    text = load_preset(name).text()
    before = PARAMS.read_text(encoding="utf-8", errors="replace") if PARAMS.exists() else None
    if before is not None and before != text and not force and not is_as_written(before):
        raise UserError(f"{PARAMS} was edited; save a copy, then overwrite it with `vit preset {name} --force`")
    write_text(PARAMS, text)
    print(f"{PARAMS} now holds preset {name}; `dvc repro` runs it")


def _complete() -> None:
    from vit.config.presets import completed
    from vit.files import write_text

    text, added = completed(PARAMS)
    if added:
        write_text(PARAMS, text)
    print(f"{PARAMS}: {'added ' + ', '.join(added) if added else 'holds every key'}")
    if added:
        print("at their defaults (docs/reference/parameters.md); a preset may use other values")
