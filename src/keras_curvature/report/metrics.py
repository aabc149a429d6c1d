"""What every number means, in words, and a report as text for a terminal."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from keras_curvature.measurement.data import Report, Units

WIDTH = 88
"""Columns of a terminal that text is wrapped to."""

CURVATURE, SLOPE_OVER_CURVATURE, SHARE, SCORE, SECONDS = "y/x²", "1/x", "0 to 1", "", "s"

IN_DEVIATIONS = {CURVATURE: "σy/σx²", SLOPE_OVER_CURVATURE: "1/σx"}
"""Units of data, and the same in standard deviations over the probe."""

MOST_FEATURES = 20
"""Features named in text and pictures: what a person reads before giving up."""


@dataclass(frozen=True)
class Meaning:
    """What a number tells.

    Attributes:
        sentence: what to think when it is read, short enough for a table.
        formula: how it is computed, in words.
        unit: for input `x` and output `y` in units of the data.
    """

    sentence: str
    formula: str
    unit: str

    def unit_in(self, units: Units) -> str:
        """The unit when numbers are in `units`."""
        return IN_DEVIATIONS.get(self.unit, self.unit) if units == "std" else self.unit

    def description(self, units: Units) -> str:
        """Sentence, formula and unit as one paragraph."""
        unit = self.unit_in(units)
        parts = [f"{self.sentence[0].upper()}{self.sentence[1:]}.", f"{self.formula}."]
        return " ".join(parts + ([f"Unit: {unit}."] if unit else []))


_AT_SCALE = (
    "(f(x + h) − 2 f(x) + f(x − h)) / h² along each input, over the points whose window "
    "x ± h lies inside the probe's range"
)
_EIGENVALUES = "Eigenvalues of the exact Hessian at every point"

MEANINGS: dict[str, Meaning] = {
    # headline
    "mean": Meaning(
        "bends up (above 0) or down (below 0) on average",
        "Laplacian, the sum of the exact second derivatives along the inputs, "
        "averaged over the probe",
        CURVATURE,
    ),
    "rms": Meaning(
        "how much it bends, up and down alike",
        "Root mean square over the probe of the exact Hessian's Frobenius norm, or of its "
        "diagonal's norm where the whole Hessian is not taken",
        CURVATURE,
    ),
    "scale_mean": Meaning(
        "as mean, over a distance h: kinks count too",
        f"Mean of {_AT_SCALE}, summed over the inputs",
        CURVATURE,
    ),
    "scale_rms": Meaning(
        "as rms, over a distance h: kinks count too",
        f"Root mean square of {_AT_SCALE}, summed in squares over the inputs",
        CURVATURE,
    ),
    "slope_change": Meaning(
        "how fast the slope changes: for ReLU and smooth alike",
        "Total |change of the directional slope| along straight lines between probe "
        "points, over their total length",
        CURVATURE,
    ),
    "hidden_fraction": Meaning(
        "share the exact derivative misses: 1 ReLU, 0 smooth",
        "Sum of |change of slope − integral of the exact second derivative| over the sum of "
        "the larger of the two, on lines between probe points: 1 for a ReLU network, about 0 "
        "for a smooth one",
        SHARE,
    ),
    "r2": Meaning(
        "fit on the probe: 1 is perfect, 0 no better than a mean",
        "1 − (squared error of the model) / (squared error of the mean of y)",
        SCORE,
    ),
    # reference
    "reference_rmse": Meaning(
        "error of the exact second derivatives",
        "Root mean square of (exact − known) over points and inputs",
        CURVATURE,
    ),
    "scale_reference_rmse": Meaning(
        "error of the curvature over a distance h",
        f"Root mean square error of {_AT_SCALE}",
        CURVATURE,
    ),
    # detail
    "p05": Meaning("5 % of the points have a smaller Laplacian", "5th percentile", CURVATURE),
    "p50": Meaning("half of the points have a smaller one", "Median", CURVATURE),
    "p95": Meaning("5 % of the points have a larger Laplacian", "95th percentile", CURVATURE),
    "max": Meaning(
        "the strongest bend at any point", "Largest |Laplacian| over the probe", CURVATURE
    ),
    "positive_fraction": Meaning(
        "points where it bends up", "Share of points with Laplacian > 0", SHARE
    ),
    "zero_fraction": Meaning(
        "points where autodiff sees no curvature",
        "Share of points where every exact second derivative is exactly 0",
        SHARE,
    ),
    "nonfinite_fraction": Meaning(
        "points left out: NaN or infinite there",
        "Share of points with a second derivative that is not finite",
        SHARE,
    ),
    "normalized": Meaning(
        "1 / distance in which the gradient turns",
        "Median over the probe of the largest |eigenvalue| of the Hessian / |gradient|",
        SLOPE_OVER_CURVATURE,
    ),
    "convex_fraction": Meaning(
        "points where it is convex",
        f"{_EIGENVALUES}; share of points with none below 0",
        SHARE,
    ),
    "concave_fraction": Meaning(
        "points where it is concave",
        f"{_EIGENVALUES}; share of points with none above 0",
        SHARE,
    ),
    "worst_convexity_violation": Meaning(
        "0 where it is convex at every point",
        f"{_EIGENVALUES}; how far the lowest of all is below 0",
        CURVATURE,
    ),
    "top_eigenvalue": Meaning(
        "strongest bend in any direction, signed",
        f"{_EIGENVALUES}; the one of largest magnitude",
        CURVATURE,
    ),
    "additivity": Meaning(
        "0: inputs act one by one, 1: only jointly",
        "Squared off-diagonal entries of the Hessians over all squared entries",
        SHARE,
    ),
    "mean_standard_error": Meaning(
        "how far the dice may put mean off",
        "Standard error of the mean, over other draws of the random directions, from how two "
        "halves of them differ at each point",
        CURVATURE,
    ),
    "rms_standard_error": Meaning(
        "how far the dice may put rms off, at most",
        "Standard error of rms, from how the points differ",
        CURVATURE,
    ),
    "scale_mean_standard_error": Meaning(
        "how far the dice may put scale_mean off",
        "Standard error of scale_mean, over other draws of the random directions and of the points "
        "at which it is taken",
        CURVATURE,
    ),
    "normalized_rms": Meaning(
        "curvature over slope: how soon the gradient turns",
        "Root mean square over the probe of the Hessian's Frobenius norm, over that of the "
        "gradient's length",
        SLOPE_OVER_CURVATURE,
    ),
    "seconds": Meaning("what this measurement took", "Wall-clock time", SECONDS),
}

FEATURE = Meaning(
    "how much it bends along this input",
    "Mean over the probe of |exact second derivative along the input|, with input and output "
    "measured in their standard deviations over the probe",
    IN_DEVIATIONS[CURVATURE],
)

LAPLACIAN = Meaning(
    "how the curvature is spread over the probe",
    "Sum of the exact second derivatives along the inputs, at every point where it is finite",
    CURVATURE,
)


def moment(step: int) -> str:
    """When a report was taken: `"before training"` or `"epoch 3"`."""
    return "before training" if step == 0 else f"epoch {step}"


def formatted(number: float) -> str:
    """A number in at most 10 characters.

    Example:
        >>> [formatted(n) for n in (0.0, 1.99712, -1234567.0, float("nan"))]
        ['0', '1.997', '-1.235e+06', 'nan']
    """
    return f"{number:.4g}"


def percent(share: float) -> str:
    """A share as per cent, without claiming 100 % or 0 % when it is not.

    Example:
        >>> [percent(share) for share in (0.0, 0.001, 0.5, 0.9999, 1.0)]
        ['none', 'almost none', '50 %', 'over 99 %', '100 %']
    """
    rounded = round(100 * share)
    if rounded in (0, 100) and share not in (0.0, 1.0):
        return "almost none" if rounded == 0 else "over 99 %"
    return "none" if share == 0 else f"{rounded} %"


def listed(words: Sequence[str], most: int = 4) -> str:
    """Words as a list in a sentence, the last ones counted where there are too many.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a", "b", "c", "d", "e", "f"])
        ('a, b and c', 'a, b, c and 3 more')
    """
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def plain(text: str, limit: int | None = None) -> str:
    r"""Text on one line without control characters, shortened to `limit` characters.

    Names come from data: they must not break a line, move a terminal's cursor or turn the
    direction of writing. What is too long loses its middle: names often differ at the end.

    Example:
        >>> plain("mean\nbody\x1b mass index", limit=12)
        'mean bo…ndex'
    """
    spaced = " ".join(text.split())
    kept = "".join(c for c in spaced if unicodedata.category(c)[0] != "C")
    if limit is None or len(kept) <= limit:
        return kept
    tail = limit // 3
    return f"{kept[: limit - 1 - tail]}…{kept[-tail:]}"


def largest(features: Mapping[str, float], most: int = MOST_FEATURES) -> list[tuple[str, float]]:
    """The features with the largest numbers, largest first; what is not a number last."""
    return sorted(features.items(), key=lambda item: -item[1] if item[1] == item[1] else 1.0)[:most]


def table(report: Report, heading: str | None = None) -> str:
    """A report as text for a terminal: the verdict, then every number and its meaning.

    Args:
        report: what was found.
        heading: the first line. Default: the output and the step.

    Returns:
        Lines of at most 88 columns, without a newline at the end.

    Example:
        >>> from keras_curvature.measurement.data import Report, Units, Verdict
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


def wrapped(text: str, start: str = "") -> list[str]:
    """Lines of at most `WIDTH` columns; all but the first are indented as far as `start`."""
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start)) or [
        start.rstrip()
    ]
