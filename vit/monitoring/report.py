"""The report of a turn: verdict, what changed in the data, scores with intervals, the worst slices, samples."""

from pathlib import Path

from vit.config.files import AUDIT, AUDITED_IMAGES, EVALUATION, RAW, RAW_RECORD, SPLIT_METRICS, TEST_METRICS
from vit.data.audit.pictures import sample_sheet
from vit.data.audit.scan import AS_THEY_ARE
from vit.data.manifest import PARTS, Row
from vit.errors import UserError
from vit.files import read_json, read_table, write_text
from vit.monitoring.data_changes import DataChanges, data_changes
from vit.monitoring.inputs import Inputs
from vit.monitoring.page import Name, Section, as_html, as_markdown
from vit.monitoring.published import Outcome
from vit.monitoring.recipe import Recipe
from vit.registry.lookup import read_published_table

MARKDOWN, HTML = "report.md", "report.html"
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "ece")
MOST_SLICES, MOST_CLASSES = 8, 30
FEWEST_IMAGES = 5  # of a slice: below, its accuracy says nothing


def write_report(
    tree: Path, outcome: Outcome, recipe: Recipe, inputs: Inputs, experiment: str, out: Path
) -> list[Path]:
    """Write the report on the outputs in `tree` to the folder `out`; its two files."""
    now = read_table(tree / AUDIT / AUDITED_IMAGES)
    before = _images_before(outcome)
    changes = data_changes(before or [], now)
    raw, audit = read_json(tree / RAW_RECORD), read_json(tree / AUDIT / "audit.json")
    sections = [
        _verdict(outcome, recipe, inputs, experiment),
        _data(changes, before is not None, outcome, raw, audit),
        _scores(read_json(tree / SPLIT_METRICS) | read_json(tree / TEST_METRICS), outcome),
        _worst(tree),
        Section("Samples", pictures=_pictures(tree, changes if before is not None else None, out)),
    ]
    title = f"Version {outcome.version.version} of {outcome.version.name}"
    files = [out / MARKDOWN, out / HTML]
    write_text(files[0], as_markdown(title, sections))
    write_text(files[1], as_html(title, sections))
    return files


def _images_before(outcome: Outcome) -> list[dict[str, str]] | None:
    """The images of the version that this one was judged against; None without one, or if they are unknown."""
    if outcome.run_before is None:
        return None
    try:
        return read_published_table(outcome.run_before, f"audit/{AUDITED_IMAGES}")
    except UserError:
        return None


def _verdict(outcome: Outcome, recipe: Recipe, inputs: Inputs, experiment: str) -> Section:
    tags = outcome.version.tags
    leads = "It is now champion." if outcome.leads else f"Champion is version {outcome.champion or 'none'}."
    table = [
        ["", ""],
        ["data", Name(inputs.said)],
        ["commit", recipe.commit[:12]],
        ["experiment", Name(experiment)],
        ["MLflow run", Name(outcome.run.info.run_name or outcome.run.info.run_id)],
    ]
    if recipe.uncommitted:
        table.append(["not committed, so not used", Name(", ".join(recipe.uncommitted))])
    decision = tags.get("gate/decision")
    words = f"The gate {decision} it: {tags.get('gate/reason', '')}." if decision else "The gate has not judged it."
    return Section("Verdict", [f"{words} {leads}"], table)


def _data(changes: DataChanges, compared: bool, outcome: Outcome, raw: dict, audit: dict) -> Section:
    paragraphs = []
    if compared and outcome.before is not None:
        paragraphs.append(
            f"Since version {outcome.before.version}: {len(changes.added):,} images added, {len(changes.removed):,} "
            f"removed, {len(changes.relabelled):,} relabelled, {len(changes.moved):,} moved to another split."
        )
    else:
        paragraphs.append("No earlier version to compare with.")
    paragraphs.append(f"{audit['quarantined']:,} unreadable files; source {raw['source']}, {raw['version']}.")
    paragraphs += [f"Warning: {warning}" for warning in audit["warnings"]]
    header = ["class", *(["before"] if compared else []), "now", *PARTS]
    classes = sorted(changes.before | changes.now)
    rows = [
        [Name(label), *([f"{changes.before[label]:,}"] if compared else []), f"{changes.now[label]:,}"]
        + [f"{audit['classes'][part].get(label, 0):,}" for part in PARTS]
        for label in classes[:MOST_CLASSES]
    ]
    if len(classes) > MOST_CLASSES:
        paragraphs.append(f"The first {MOST_CLASSES} of {len(classes)} classes:")
    return Section("Data", paragraphs, [header, *rows])


def _scores(scores: dict[str, float], outcome: Outcome) -> Section:
    """On each version's own test images; the gate compares on val images that neither was trained on."""
    before = {} if outcome.before is None else {key: _number(value) for key, value in outcome.before.tags.items()}
    same = outcome.run_before is not None and (
        outcome.run_before.data.tags.get("test_images_sha256") == outcome.run.data.tags.get("test_images_sha256")
    )
    header = ["on test", *([f"version {outcome.before.version}"] if outcome.before else []), "this version"]
    rows = []
    for name in (f"test_{score}" for score in SCORES if f"test_{score}" in scores):
        old = [_with_interval(before, name)] if outcome.before else []
        rows.append([name.removeprefix("test_").replace("_", " "), *old, _with_interval(scores, name)])
    for baseline in ("majority_accuracy", "nearest_neighbour_accuracy"):
        old = [_with_interval(before, baseline)] if outcome.before else []
        rows.append([f"baseline: {baseline.replace('_', ' ')}", *old, _with_interval(scores, baseline)])
    words = []
    if outcome.before is not None:
        words.append("Both on the same test images." if same else "Each on its own test images, which differ.")
    return Section("Scores", words, [header, *rows])


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _with_interval(scores: dict, name: str) -> str:
    value, low, high = (scores.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return "-"
    return f"{value:.4f}" if low is None or high is None else f"{value:.4f} ({low:.4f} to {high:.4f})"


def _worst(tree: Path) -> Section:
    rows = [row for row in read_table(tree / EVALUATION / "slices.csv") if int(row["images"]) >= FEWEST_IMAGES]
    rows.sort(key=lambda row: (float(row["accuracy"]), row["slice"], row["value"]))
    table = [["slice", "value", "images", "accuracy"]]
    for row in rows[:MOST_SLICES]:
        known = {end: float(row[end]) if row[end] else None for end in ("low", "high")}
        found = {"accuracy": float(row["accuracy"]), "accuracy_low": known["low"], "accuracy_high": known["high"]}
        table.append([Name(row["slice"]), Name(row["value"]), row["images"], _with_interval(found, "accuracy")])
    words = [] if len(table) > 1 else [f"No slice of test has {FEWEST_IMAGES} images; evaluate.slices names slices."]
    return Section("Worst slices", words, table)


def _pictures(tree: Path, changes: DataChanges | None, out: Path) -> dict[str, Path]:
    found = {}
    if changes is not None and changes.added:
        rows = [Row(row["path"], row["label"], row["path"]) for row in changes.added]
        out.mkdir(parents=True, exist_ok=True)
        sample_sheet(out / "added.png", tree / RAW, rows, AS_THEY_ARE)
        found["Added images"] = out / "added.png"
    else:
        found["Samples of each class"] = tree / AUDIT / "samples.png"
    found["Most confident mistakes"] = tree / EVALUATION / "mistakes.png"
    return found
