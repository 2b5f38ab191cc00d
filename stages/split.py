"""split: audit the images, assign them to train, val and test, and measure the split's leakage."""

import logging

from vit.config.files import AUDIT, CLASSES, RAW, SPLIT_METRICS, SPLITS, TABLES, VALUE_RANGE
from vit.config.params_file import load_params
from vit.data.added import added_paths, look_at_added, with_added
from vit.data.alternatives import alternatives
from vit.data.audit.doubts import find_lost_classes, find_warnings
from vit.data.audit.findings import audit
from vit.data.audit.leakage import HELD_OUT, measure
from vit.data.audit.losses import find_flat, find_losses
from vit.data.audit.report import summarize, write_report
from vit.data.audit.scan import Drawn
from vit.data.audit.values import find_doubtful_values
from vit.data.manifest import PARTS, Row, list_images
from vit.data.split import assign, with_fewer_to_train_on
from vit.data.strategy import choose_strategy
from vit.errors import UserError, run_program
from vit.files import replacing_folder, write_json, write_table

log = logging.getLogger("vit")


def main() -> None:
    """Run the stage; the old outputs stay until the new ones are complete."""
    params = load_params()
    split, pack = params.split, params.pack
    drawn = Drawn(pack.value_range, pack.background)
    corrected = added_paths(TABLES)
    images = list_images(RAW)
    findings = audit(RAW, [row for row in images if row.path not in corrected], split.max_broken_fraction, drawn)
    found = find_losses(findings, split.max_broken_fraction) + find_flat(findings)
    found += find_doubtful_values(findings.scan, drawn)
    strategy, reason = choose_strategy(findings, split)
    others = alternatives(findings, split)
    parts = assign(strategy, findings, split, TABLES)
    if corrected:
        added = look_at_added(RAW, [row for row in images if row.path in corrected], findings, parts)
        found += added.warnings()
        findings = with_added(findings, added)
        parts["train"] = sorted([*parts["train"], *added.scan.rows])
    parts = with_fewer_to_train_on(parts, split)
    leakage = measure(findings, parts)
    warnings = find_warnings(parts, leakage, split.leakage_margin) + find_lost_classes(findings) + found
    summary = summarize(findings, parts, leakage, strategy, reason, warnings) | others
    with replacing_folder(AUDIT) as folder:
        write_report(folder, RAW, findings, parts, summary)
    if split.fail_on_leakage and any(leakage[part].leakage > split.leakage_margin for part in HELD_OUT):
        raise UserError(f"split.fail_on_leakage: {warnings[0]}; see {AUDIT}/report.html")

    with replacing_folder(SPLITS) as folder:
        for part in PARTS:
            write_table(folder / f"{part}.csv", (row._asdict() for row in parts[part]), list(Row._fields))
        write_json(folder / CLASSES, sorted({row.label for row in findings.rows}))
        if findings.scan.scale is not None:
            write_json(folder / VALUE_RANGE, findings.scan.scale.value_range)
    counts = {f"{part}_images": len(parts[part]) for part in PARTS}
    write_json(SPLIT_METRICS, counts | leakage["test"].figures() | leakage["val"].figures("val_"))
    for warning in warnings:
        log.warning(f"warning: {warning}")
    if scale := findings.scan.scale:
        low, high = scale.value_range
        print(f"images of more than 8 bits: values from {low:g} to {high:g} become 0 to 255 ({scale.rule})")
    print(f"{', '.join(f'{len(parts[part])} {part}' for part in PARTS)}, by {strategy}: {reason}")
    print(f"leakage: {', '.join(f'{leakage[part].leakage:.1%} of {part}' for part in HELD_OUT)}")


if __name__ == "__main__":
    run_program(main)
