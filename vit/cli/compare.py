"""`vit compare`: is one run better than another?"""

from dataclasses import asdict

import click

from vit.cli.command import command, json_option, print_json

KINDS = "Id or name of a run, models:/NAME@ALIAS or models:/NAME/VERSION."


@command("vit compare models:/vit@champion models:/vit@challenger")
@click.argument("run_a", metavar="RUN_A", help=KINDS)
@click.argument("run_b", metavar="RUN_B", help="Same forms as RUN_A.")
@json_option(
    "one object: run_a and run_b (each name and id), same_data, images, groups, accuracy_a, accuracy_b, both_right, "
    "only_a_right, only_b_right, neither_right, difference (B minus A), low, high, confidence_level, mcnemar_p, "
    "better (A, B or null)"
)
def compare(run_a: str, run_b: str, as_json: bool) -> None:
    """Compare two runs on their test images, image by image."""
    from vit.config.params_file import load_params
    from vit.registry.runs import compare_runs

    settings = load_params().evaluate
    runs, found, same_data = compare_runs((run_a, run_b), settings.confidence_level, settings.seed)
    if as_json:
        named = {
            letter: {"name": run.info.run_name, "id": run.info.run_id}
            for letter, run in zip(("run_a", "run_b"), runs, strict=True)
        }
        print_json(named | {"same_data": same_data} | asdict(found) | {"better": found.better})
        return
    for letter, run in zip("AB", runs, strict=True):
        print(f"{letter}: run '{run.info.run_name}' ({run.info.run_id})")
    print(found.as_text())
    if not same_data:
        print("note: the runs used different data sets, although their test images have the same paths and labels")
