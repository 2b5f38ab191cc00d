"""A window beside val, as text."""

from collections.abc import Sequence

import pyarrow as pa

from vit.monitoring.sample import ValSample, live_sample
from vit.monitoring.series import Question, Result, latencies_of, time_of, values_of

LAST = 10  # windows


def as_text(question: Question, found: Sequence[Result], rest: pa.Table, val: ValSample, dropped: int) -> list[str]:
    """The last windows in a line each, the last one in full, and what came since."""
    lines = [f"version {question.version or 'of a folder'}, windows of {question.window}, {_said_of_rate(question)}"]
    if found:
        lines += ["", *_overview(question, found[-LAST:]), "", *_table(found[-1], question, val)]
    else:
        lines.append("no window is complete yet")
    if rest.num_rows:
        lines += ["", *_unfinished(rest, question, val)]
    if dropped:
        lines += ["", f"the servers dropped {dropped} predictions, which are in no window"]
    return lines


def _said_of_rate(question: Question) -> str:
    return f"{question.rate:.2%} of windows without drift may alarm, blocks of {question.block}"


def _overview(question: Question, found: Sequence[Result]) -> list[str]:
    lines = [f"{'window':<8}{'from (UTC)':<18}{'to':<18}{'predictions':>11}  alarms"]
    for one in found:
        alarms = ", ".join(one.alarms(question.rate)) or ("-" if one.tests else "too few predictions to test")
        lines.append(f"{one.number:<8}{time_of(one.start):<18}{time_of(one.end):<18}{one.predictions:>11}  {alarms}")
    return lines


def _table(result: Result, question: Question, val: ValSample) -> list[str]:
    before, alarms = values_of(val, val.classes), result.alarms(question.rate)
    lines = [
        f"window {result.number}: {result.predictions} predictions in {result.blocks} blocks; val: {len(val.label)} "
        f"images in {val.blocks}",
        f"{'figure':<12}{'val':>22}{'window':>22}{'distance':>10}{'p':>9}{'adjusted':>10}",
    ]
    for name, test in result.tests.items():
        shown = _beside(name, before, result.values)
        lines.append(
            f"{name:<12}{shown[0]:>22}{shown[1]:>22}{test.distance:>10.3f}{test.p:>9.4f}{test.adjusted:>10.4f}"
            f"{'  ALARM' if name in alarms else ''}"
        )
    lines.append(f"{'latency':<12}{'':>22}{_latency(result.values):>22}")
    if result.tests and result.smallest_p * len(result.tests) > question.rate:
        lines.append(
            f"note: {result.blocks} and {val.blocks} blocks show no p below {result.smallest_p:.2g}, so no window can "
            "alarm; use a larger --window, a smaller --block, or more images in val"
        )
    return lines


def _unfinished(rest: pa.Table, question: Question, val: ValSample) -> list[str]:
    live = live_sample(rest, question.block)
    before, values = values_of(val, val.classes), values_of(live, val.classes)
    lines = [f"since then, not tested yet: {rest.num_rows} predictions", f"{'figure':<12}{'val':>22}{'so far':>22}"]
    for name in ("labels", *live.figures):
        shown = _beside(name, before, values)
        lines.append(f"{name:<12}{shown[0]:>22}{shown[1]:>22}")
    return [*lines, f"{'latency':<12}{'':>22}{_latency(latencies_of(rest)):>22}"]


def _beside(name: str, val: dict[str, float], live: dict[str, float]) -> tuple[str, str]:
    """What is shown of a figure: its mean, or the class whose share changed most."""
    if name == "embedding":
        return "", ""
    if name != "labels":
        return f"{val[name]:.4g}", f"{live[name]:.4g}"
    shares = [key for key in val if key.startswith("share/")]
    key = max(shares, key=lambda one: abs(val[one] - live[one]))
    called = key.removeprefix("share/")[:14]
    return f"{called} {val[key]:.1%}", f"{called} {live[key]:.1%}"


def _latency(values: dict[str, float]) -> str:
    return "p50 {latency_p50:.3g}, p95 {latency_p95:.3g} ms".format(**values)
