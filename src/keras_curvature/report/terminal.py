"""A report as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keras_curvature.report.data import Report
from keras_curvature.report.metrics import (
    FEATURE,
    MEANINGS,
    MOST_FEATURES,
    MOST_PAIRS,
    Meaning,
    largest,
)
from keras_curvature.report.text import formatted, moment, plain, wrapped
from keras_curvature.typing import Units


def table(report: Report, heading: str | None = None) -> str:
    """A report as text for a terminal: the verdict, then every number and its meaning.

    Args:
        report: what was found.
        heading: the first line. Default: the output and the step.

    Returns:
        Lines of at most 88 columns, without a newline at the end.

    Example:
        >>> from keras_curvature.report.data import Report, Verdict
        >>> from keras_curvature.typing import Units
        >>> verdict = Verdict("linear", "A straight line, as it should be.")
        >>> report = Report(3, "", {"mean": 0.0}, {}, {"seconds": 0.12}, {}, None, verdict)
        >>> print(table(report))
        Curvature, epoch 3
        A straight line, as it should be.
        <BLANKLINE>
        mean  0  y/x²  bends up (above 0) or down (below 0) on average
        <BLANKLINE>
        Detail
        seconds  0.12  s  what this measurement took
    """
    name = f" of {plain(report.output, 40)!r}" if report.output else ""
    first = f"Curvature{name}, {moment(report.step)}" if heading is None else plain(heading)
    blocks = [
        [first, *wrapped(plain(report.verdict.sentence))],
        _numbers(report.headline, report.units),
        _titled("Against the known second derivatives", _numbers(report.reference, report.units)),
        _titled("Detail", _numbers(report.detail, report.units)),
        _titled(_features_title(report.features), _features(report.features)),
        _titled(f"Mean |mixed second derivative|, {FEATURE.unit}", _pairs(report)),
        _titled("How it was measured", _bullets(report.method)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _titled(title: str, lines: list[str]) -> list[str]:
    return [title, *lines] if lines else []


def _numbers(numbers: Mapping[str, float], units: Units) -> list[str]:
    known = {name: MEANINGS.get(name, Meaning("", "", "")) for name in numbers}
    rows = [
        (name, formatted(numbers[name]), meaning.unit_in(units), meaning.sentence)
        for name, meaning in known.items()
    ]
    return _aligned(rows)


def _features_title(features: Mapping[str, float]) -> str:
    omitted = len(features) - MOST_FEATURES
    note = f"; {omitted} with less are left out" if omitted > 0 else ""
    return f"Mean |second derivative| along each input, {FEATURE.unit}{note}"


def _features(features: Mapping[str, float]) -> list[str]:
    rows = [(plain(name, 40), formatted(number), "", "") for name, number in largest(features)]
    return _aligned(rows)


def _pairs(report: Report) -> list[str]:
    named = {f"{plain(a, 18)} × {plain(b, 18)}": size for (a, b), size in report.pairs.items()}
    return _aligned([(name, formatted(size), "", "") for name, size in largest(named, MOST_PAIRS)])


def _aligned(rows: list[tuple[str, str, str, str]]) -> list[str]:
    """Columns name, number, unit, meaning; a long meaning goes on below itself."""
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = []
    for name, number, unit, meaning in rows:
        start = f"{name:<{widths[0]}}  {number:>{widths[1]}}  {unit:<{widths[2]}}  "
        lines += wrapped(meaning, start) if meaning else [start.rstrip()]
    return lines


def _bullets(sentences: Iterable[str]) -> list[str]:
    return [line for s in sentences for line in wrapped(plain(s), "- ")]
