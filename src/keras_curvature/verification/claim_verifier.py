"""Checks derivatives that somebody claims against differences of a function's values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_curvature.engines import quantities
from keras_curvature.engines.backend import require_eager
from keras_curvature.report.text import percent
from keras_curvature.typing import Array, Claims, Model, Output, Structure
from keras_curvature.verification import origins
from keras_curvature.verification.black_box import BlackBox, as_array, black_box, first_line
from keras_curvature.verification.claims import Claim, claims_of
from keras_curvature.verification.forms import Form, form_of, truth_of, where_shorter_agree
from keras_curvature.verification.judging import CLEAN, Tolerance, compare
from keras_curvature.verification.line_derivatives import Estimate
from keras_curvature.verification.results import Check, Verification
from keras_curvature.verification.sample import NOISY, SHORTER_LINE, Sample, noise, sample_of
from keras_curvature.verification.truth import Along, Truth

MOST_DIGITS = {"float64": 16.0, "float32": 7.2, "float16": 3.3, "bfloat16": 2.4}
"""Of the numbers of a dtype."""

FLOAT32_DIGITS = 9.0
"""Fewer leave no doubt that float32, which has 7, is on the way."""

NUDGE = 1e-9
"""Relative change of the points that float64 sees and float32 does not."""

LONGER_LINES = (1e3, 1e2)
"""Of the line on which rounding is measured, for numbers of 16 bits."""

WAVES = 10.0
"""How many times as much of a value may wave as rounds, on the usual line and on the shorter."""

DRIFT = 1e-6
"""Share of the largest value by which two calls differ that are not the same function."""

FEW_DIGITS = 5.0
"""Fewer have values that round to 16 bits, or cancel."""

LOOSEST, LOOSE, TIGHT = 0.05, 1e-3, 1e-6
"""Allowed of derivatives of values of few digits, in float32, and in float64."""


@dataclass(frozen=True)
class Digits:
    """How many digits of the values are not rounding.

    Attributes:
        count: of the worst output.
        unmoved: the share of values that `NUDGE` leaves exactly as they were.
        says: the dtype of the values.
        step: that they are multiples of, the largest of all outputs; 0 for none.
        waves: whether they wave on a line on which they should be straight.
    """

    count: float
    unmoved: float
    says: str
    step: float
    waves: bool

    @property
    def disguised(self) -> bool:
        """Whether they say float64 and are computed in float32."""
        few = self.says == "float64" and self.count < FLOAT32_DIGITS
        return few and self.unmoved >= 0.5 and not self.step

    @property
    def sentence(self) -> str:
        """What a person is to know of them."""
        told = f"The values are {self.says} and have {self.count:.1f} digits"
        if self.disguised:
            return (
                f"{told}: the function says float64 and computes in float32. f(x + 1e-9 x) is "
                f"exactly f(x) for {percent(self.unmoved)} of the values."
            )
        return f"{told}."

    @property
    def of_steps(self) -> str:
        """What it means that the values have steps, or `""`."""
        if not self.step:
            return ""
        return (
            f"The values have steps of about {self.step:.3g}, as if they were rounded, on purpose "
            "or in half precision: on a plateau there is no derivative to be seen, so what such "
            "steps drown was not judged. Give the function before it is rounded."
        )


def verify_claims(
    f: Model,
    x: Structure,
    claims: Claims,
    output: Output = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> Verification:
    """`keras_curvature.verify` with `claims`."""
    require_eager("verify")
    box = black_box(f, x, output, batch_size)
    points = np.asarray(as_array(_leaf(x)), np.float64)
    asked = claims_of(claims, box, len(points))
    frameworks = list(dict.fromkeys(claim.framework for claim in asked if claim.framework))
    if box.given is None and frameworks:
        box = box.as_given(frameworks[0])
    _require_one_function(box, points[:NOISY], frameworks[1:])
    reason = _unfit(box, points[: 2 * NOISY], seed)
    if reason:
        sentence = f"Nothing was checked: {reason}"
        return Verification(box.name, (), (), 0.0, "", (sentence,), (), float("nan"))
    few = all(claim.framework for claim in asked)
    return _verified(sample_of(box, points, seed, few=few), asked)


def _require_one_function(box: BlackBox, points: Array, frameworks: Sequence[str]) -> None:
    """Raises ValueError where a function of other tensors has other values."""
    for framework in frameworks:
        one, other = (b.own(points) for b in (box, box.as_given(framework)))
        if _apart(one, other) > DRIFT * np.abs(one[np.isfinite(one)]).max(initial=0.0):
            raise ValueError(
                f"`model` must be one function. Received: {box.name}, which has other values for "
                f"tensors of {framework} than for those of {box.given}. Check it once for each, "
                "with the ways of one framework at a time."
            )


def _leaf(x: Structure) -> Structure:
    """The one array: a model may have been given a list or a dict of one."""
    if isinstance(x, dict):
        return next(iter(x.values()))
    return x[0] if isinstance(x, (list, tuple)) and len(x) == 1 and hasattr(x[0], "shape") else x


def _unfit(box: BlackBox, points: Array, seed: int) -> str:
    """Why there is nothing to differentiate: what is no function of an example; or `""`."""
    first, again = box.own(points), box.own(points)
    if not np.isfinite(first).all(axis=1).any():
        return "the function is NaN or infinite at every example that was looked at."
    largest = float(np.abs(first[np.isfinite(first)]).max()) or 1.0
    drift = _apart(first, again) / largest
    if drift > DRIFT:
        return (
            f"two calls with the same examples differ by {drift:.2%} of the largest value. The "
            "function draws random numbers or changes what it reads: hold that fixed."
        )
    # The examples stay where they are, those beside them move.
    rng = np.random.default_rng(seed)
    by = np.where(points.std(axis=0) > 0, points.std(axis=0), 1.0)
    moved = points + by * rng.normal(size=points.shape)
    beside = [box.own(np.concatenate([points, other])) for other in (points, moved)]
    coupled = _apart(*(values[: len(points)] for values in beside)) / largest
    if coupled > DRIFT:
        return (
            "an example's value changes with the other examples of its batch, by up to "
            f"{coupled:.2%} of the largest. Derivatives per example are not defined: look for a "
            "statistic over the batch axis."
        )
    return ""


def _apart(a: Array, b: Array) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    return float(np.abs(a - b)[both].max(initial=0.0))


def digits_of(s: Sample) -> Digits:
    """Measures the rounding in the function's own values."""
    x = s.shaped(s.x[:NOISY])
    here, nudged = (s.box.own(points) for points in (x, x * (1 + NUDGE)))
    unmoved = float((here == nudged).mean())
    rounding, size = noise(s, s.box.own), np.abs(here @ s.mixing).max(axis=0)
    waves = False
    if s.box.says == "float64" and unmoved < 0.5:
        calm = noise(s, s.box.own, SHORTER_LINE)
        least = np.maximum(calm, float(np.finfo(np.float64).eps) * size)
        waves = bool((rounding > WAVES * least).any())
        rounding = np.minimum(rounding, calm)
    else:
        # Of 16 bits all numbers on the usual line are one. What is smooth falls with the fourth
        # power of the length, rounding hardly.
        long, less = (noise(s, s.box.own, length) for length in LONGER_LINES)
        rounding = np.where(less >= long / 100, np.maximum(rounding, long), rounding)
    rounding = np.where(s.stepped > 0, s.stepped, rounding)
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = -np.log10(rounding / size)
    known = digits[np.isfinite(digits)]
    most = MOST_DIGITS.get(s.box.says, 16.0)
    count = float(np.clip(known.min(), 0, most)) if known.size else most
    return Digits(count, unmoved, s.box.says, float(s.steps.max()), waves)


def _verified(s: Sample, asked: list[Claim]) -> Verification:
    digits, along = digits_of(s), s.along()
    checks, left_out, wrong = list(_values(s, along, digits)), [], []
    loosest = Tolerance(0.0, "")
    for claim in asked:
        found = _judged(s, claim, along, digits)
        if isinstance(found, str):
            left_out.append(f"The {claim.name} by {claim.label} was not checked: {found}")
            continue
        loosest = max(loosest, found.tolerance, key=lambda tolerance: tolerance.size)
        check = found.comparison.check(
            claim.name, claim.label, lambda *at, form=found.form: origins.place(s, form, *at)
        )
        checks.append(check)
        if found.faint.any() and not check.wrong:
            left_out.append(
                f"The {claim.name} by {claim.label} is too small to be judged"
                f"{'' if found.faint.all() else ' of some outputs'}: over the spread of these "
                "examples it changes the slope so little that an error of its own size would not "
                "show. Give examples further apart."
            )
        if check.wrong:
            wrong.append(found)
    return Verification(
        model=s.box.name,
        checks=tuple(checks),
        method=tuple(_method(s, digits)),
        tolerance=loosest.size,
        because=loosest.reason,
        left_out=(*left_out, *_nowhere(s), *filter(None, [digits.of_steps])),
        causes=tuple(origins.causes(s, wrong)),
        digits=digits.count,
        examples=s.count,
        total=s.total,
    )


def _judged(s: Sample, claim: Claim, along: Along, digits: Digits) -> origins.Judged | str:
    """A claim against differences, or why not."""
    if claim.quantity == quantities.VALUE:
        form = Form(0, s.x[:, None], np.ones((1, 1)), lambda a: a[..., None])
        truth = _value(s, along)
    else:
        found = form_of(claim.quantity, s)
        if isinstance(found, str):
            return f"{found}."
        form = found
        if claim.quantity == quantities.DIVERGENCE and s.is_mixed:
            return "it is of too many outputs."
        truth = truth_of(claim.quantity, form, s, along)
    try:
        value = claim.at_places(form, s)
    except Exception as error:
        if claim.framework is None:
            raise
        return f"it raises {first_line(error)}.{origins.where_it_raises(s, claim)}"
    judged = origins.Judged(claim, form, value, truth, _tolerance(s, claim, digits))
    doubtful = digits.waves or judged.comparison.wrong.any()
    if claim.quantity != quantities.VALUE and doubtful:
        truth = where_shorter_agree(  # before anybody is blamed
            claim.quantity, truth, form, s, judged.tolerance.size
        )
        judged = replace(judged, truth=truth)
    return judged


def _tolerance(s: Sample, claim: Claim, digits: Digits) -> Tolerance:
    relative = s.rounding / np.maximum(np.abs(s.box.own(s.shaped(s.x)) @ s.mixing).max(0), 1e-300)
    if digits.count < FEW_DIGITS:
        return Tolerance(LOOSEST, f"of values of {digits.count:.1f} digits few are left")
    if digits.disguised or (digits.says == "float64" and relative.max() > CLEAN):
        return Tolerance(LOOSE, "the function's values round far more than float64 does")
    if digits.says != "float64":
        return Tolerance(LOOSE, f"{digits.says}: a second derivative keeps few of its digits")
    if claim.label == "array" and as_array(claim.source).dtype.itemsize < 8:
        return Tolerance(LOOSE, "a claim in float32: a second derivative keeps few of its digits")
    return Tolerance(TIGHT, "float64")


def _value(s: Sample, along: Along) -> Truth:
    found = (s.box.values(s.shaped(s.x)) @ s.mixing)[..., None]
    rounding = np.broadcast_to(along.rounding[:, None], found.shape)
    return Truth(Estimate(found, rounding, rounding), along.largest)


def _values(s: Sample, along: Along, digits: Digits) -> Iterator[Check]:
    """The function as it is against the same in float64, where that was made of it."""
    if s.box.exact is None:
        return
    own = (s.box.own(s.shaped(s.x)) @ s.mixing)[..., None]
    compared = compare(own, _value(s, along), Tolerance(max(LOOSE, 100 * 10**-digits.count), ""))
    yield compared.check(
        quantities.VALUE, f"as {s.box.says}", lambda *at: origins.place(s, None, *at)
    )


def _nowhere(s: Sample) -> Iterator[str]:
    lost = np.flatnonzero(~np.isfinite(s.box.values(s.shaped(s.x))).all(axis=1))
    if len(lost):
        yield (
            f"The function is NaN or infinite at {len(lost)} of {s.count} examples, at example "
            f"{s.chosen[lost[0]]} for one."
        )


def _method(s: Sample, digits: Digits) -> Iterator[str]:
    yield digits.sentence
    m = s.box.width
    outputs = f", one random mixture of all {m} outputs" if s.is_mixed else ""
    yield (
        f"At {s.count} of {s.total} examples{outputs}: along random directions one standard "
        "deviation long, and along the inputs."
    )
    wide = "" if s.box.exact is None else " of the same function with its numbers in float64"
    yield (
        f"Differences: of order 6 to 8, of values in {'float64' if wide else s.box.dtype}{wide}, "
        "with the step of 13 that is least in doubt."
    )
