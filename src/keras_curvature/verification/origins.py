"""Where a claim is off: at which entry, by which factor, and from which layer on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keras_curvature.engines import quantities
from keras_curvature.report.text import listed, percent, plain
from keras_curvature.typing import Array, Model
from keras_curvature.verification.black_box import first_line
from keras_curvature.verification.claims import Claim
from keras_curvature.verification.cutting import piece_of, pieces
from keras_curvature.verification.forms import Form, form_of, truth_of
from keras_curvature.verification.judging import Comparison, Tolerance, compare
from keras_curvature.verification.line_derivatives import IN_DOUBT, Estimate
from keras_curvature.verification.sample import Sample, noise
from keras_curvature.verification.truth import Truth

ALL_ENTRIES, SOME_ENTRIES = 32, 1024
"""Inputs up to which every entry of a Hessian is looked at, and those of its worst row."""

VISIBLE = 1e-3
"""Error from which a layer is to blame."""

TOLD = 0.1
"""Error of a claim, relative to itself, that is to show wherever it is called right."""

LEAST = 0.01
"""Of the size, from which on a factor can be told."""

ALIKE = 0.01
"""How far factors at different places may differ and be called one."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A claim held against differences.

    Attributes:
        claim: what was claimed.
        form: at which places.
        value: what it says there, `(n, k, places)`.
        truth: what differences say.
        tolerance: what is allowed.
    """

    claim: Claim
    form: Form
    value: Array
    truth: Truth
    tolerance: Tolerance

    @property
    def comparison(self) -> Comparison:
        """The numbers against each other."""
        found = compare(self.value, self.truth, self.tolerance)
        faint = self.faint.reshape(1, -1, *[1] * (self.value.ndim - 2))
        return replace(found, can_tell=found.can_tell & (~faint | found.wrong))

    @property
    def faint(self) -> NDArray[np.bool_]:
        """Of which outputs the claim is so small that an error of its own size would not show.

        What is allowed counts by the slope then, or the noise. Nothing is no claim of a size.
        """
        found = compare(self.value, self.truth, self.tolerance)
        size = self.truth.size.reshape(1, -1, *[1] * (self.value.ndim - 2))
        over = tuple(i for i in range(self.value.ndim) if i != 1)
        share = np.where(found.can_tell, np.abs(self.value), 0.0).max(axis=over, keepdims=True)
        allowed = np.where(found.can_tell, found.allowed, 0.0).max(axis=over, keepdims=True)
        with np.errstate(invalid="ignore"):
            return ((share > 0) & (TOLD * share < allowed * size)).ravel()


def place(s: Sample, form: Form | None, example: int, output: int, axis: int = 0) -> str:
    """A place in the user's terms."""
    words = [f"example {s.chosen[example]}"]
    if s.is_mixed:
        words.append("a mixture of the outputs")
    elif s.box.width > 1:
        words.append(f"output {_index(output, s.box.output_shape)}")
    if form is not None and form.inputs:
        words.append(f"input {_index(form.inputs[axis], s.box.input_shape)}")
    return ", ".join(words)


def _index(flat: int, shape: tuple[int, ...]) -> str:
    index = [int(i) for i in np.unravel_index(flat, shape)] if shape else [flat]
    return str(index[0]) if len(index) == 1 else str(tuple(index))


def causes(s: Sample, wrong: Sequence[Judged]) -> Iterator[str]:
    """What is known of the reasons of what is wrong, one sentence each."""
    by_way = [judged for judged in wrong if judged.claim.framework]
    for judged in wrong:
        if not np.isfinite(judged.value).all():
            yield _not_finite(s, judged)
        factor = _factor(judged)
        if factor:
            yield f"The {judged.claim.name} by {judged.claim.label} is {factor}."
    for judged in (*by_way[:1], *(one for one in wrong if not one.claim.framework)):
        example, output, *_ = judged.comparison.worst
        entry = _entry(s, judged, example, output)
        if entry:
            at = place(s, None, example, output)
            yield f"The {judged.claim.name} by {judged.claim.label}, at {at}: {entry}"
    parts = pieces(s.box)
    if by_way and not parts:
        yield (
            "A function and a subclassed model cannot be cut, so in which op it begins is not "
            "known: a functional or Sequential model of Keras and an nn.Sequential can."
        )
    elif parts and len(by_way) < len(wrong):
        yield (
            "Of an array or a function nobody can say in which layer it goes wrong: name the "
            "way that it came by, such as 'tape in tape' or 'torch double backward'."
        )
    if parts:
        yield from _layers(s, {judged.claim.label: judged for judged in by_way}, parts)


def _not_finite(s: Sample, judged: Judged) -> str:
    """At how many places it is no number, and the first of them."""
    lost = ~np.isfinite(judged.value) & judged.comparison.can_tell
    lost = lost if lost.any() else ~np.isfinite(judged.value)
    first = tuple(int(i) for i in np.argwhere(lost)[0])
    return (
        f"The {judged.claim.name} by {judged.claim.label} is NaN or infinite at {int(lost.sum())} "
        f"of {lost.size} places, at {place(s, judged.form, *first)} for one, where the values of "
        "the function are finite."
    )


def _factor(judged: Judged) -> str:
    """By which factor it is off wherever it can be told, or `""`."""
    comparison, known = judged.comparison, judged.truth.estimate.value
    wrong = judged.value[comparison.wrong]
    if len(wrong) > 1 and not wrong.any():
        return f"0 at all {len(wrong)} places where it is off"
    size = judged.truth.size[:, None]
    telling = comparison.can_tell & (np.abs(known) > LEAST * size)
    if telling.sum() < 2:
        return ""
    ratios = (judged.value[telling] / known[telling]).ravel()
    middle = float(np.median(ratios))
    alike = min(ALIKE, abs(middle - 1) / 4)
    if not np.isfinite(ratios).all() or np.abs(ratios / middle - 1).max() > alike:
        return ""
    if abs(middle - 1) <= judged.tolerance.size:  # of few places, others are off
        return ""
    if abs(middle + 1) <= ALIKE:
        return "of the wrong sign everywhere, and else right"
    return (
        f"{middle:.4g} times what it should be at all {len(ratios)} places where that is more "
        f"than {percent(LEAST)} of its size"
    )


def _entry(s: Sample, judged: Judged, example: int, output: int) -> str:
    """Which entries of a gradient or a Hessian are off at an example, or `""`."""
    claim, one = judged.claim, s.one(example)
    d, scale = s.x.shape[1], judged.truth.scale[output]
    if claim.quantity == quantities.JACOBIAN and d <= SOME_ENTRIES:
        found = one.derivative((np.eye(d) * s.spread)[None], 1)
        known = _of(found.times(1 / s.spread[:, None]), output)
        units = s.spread
    elif claim.quantity == quantities.HESSIAN and d <= ALL_ENTRIES:
        known = _hessian(one, lambda lines: one.derivative(lines, 2), output)
        units = np.outer(s.spread, s.spread)
    elif claim.quantity == quantities.HESSIAN and d <= SOME_ENTRIES and not claim.framework:
        return _in_a_row(s, judged, example, output)
    else:
        return ""
    said = _said(s, claim, one, example, output)
    return _told(said, known, units, float(scale), judged.tolerance)


def _said(s: Sample, claim: Claim, one: Sample, example: int, output: int) -> Array:
    """All that a claim says at an example of an output."""
    if claim.framework:

        def of_way(lines: Array) -> Estimate:
            value = claim.along(lines, one)
            return Estimate(value, np.zeros_like(value), np.zeros_like(value))

        return _hessian(one, of_way, output).value
    entries = claim.entries(s)[example]
    return np.einsum("m...,m->...", entries, s.mixing[:, output])


def _of(estimate: Estimate, output: int) -> Estimate:
    """Of one example and output."""
    parts = (estimate.value, estimate.doubt, estimate.rounding)
    return Estimate(*(part[0, :, output] for part in parts))


def _hessian(s: Sample, along: Callable[[Array], Estimate], output: int) -> Estimate:
    """Every entry, from the second derivatives along the axes and between each two of them."""
    d = s.x.shape[1]
    axes = np.eye(d) * s.spread
    pairs = np.array(list(itertools.combinations(range(d), 2)), int).reshape(-1, 2)
    i, j = pairs.T
    lines = np.concatenate([axes, axes[i] + axes[j], axes[i] - axes[j]])[None]
    found = _of(along(np.ascontiguousarray(lines)), output)
    ahead, behind = slice(d, d + len(i)), slice(d + len(i), None)

    def square(part: Array, sign: float) -> Array:
        full = np.diag(part[:d])
        full[i, j] = full[j, i] = (part[ahead] + sign * part[behind]) / 4
        return full

    units = np.outer(s.spread, s.spread)
    full = Estimate(square(found.value, -1), square(found.doubt, 1), square(found.rounding, 1))
    return full.times(1 / units)


def _in_a_row(s: Sample, judged: Judged, example: int, output: int) -> str:
    """The worst entry of a large Hessian: the worst row first, then along it."""
    one, d = s.one(example), s.x.shape[1]
    axes, spread = np.eye(d) * s.spread, s.spread
    said = _said(s, judged.claim, one, example, output)

    def between(v: Array) -> Estimate:
        """Of each axis and a direction."""
        lines = np.ascontiguousarray(np.stack([axes + v, axes - v], axis=1).reshape(1, 2 * d, d))
        found = _of(one.derivative(lines, 2), output)
        parts = (found.value, found.doubt, found.rounding)
        value, *doubts = (part.reshape(d, 2) for part in parts)
        doubt, rounding = (part.sum(axis=1) / 4 for part in doubts)
        return Estimate((value[:, 0] - value[:, 1]) / 4, doubt, rounding)

    v = one.lines.v[0]
    rows = between(v)
    off = np.abs(said @ v * spread - rows.value) - IN_DOUBT * rows.doubt
    row = int(np.nanargmax(np.where(np.isfinite(off), off, -np.inf)))
    known = between(axes[row]).times(1 / (spread * spread[row]))
    scale, tolerance = float(judged.truth.scale[output]), judged.tolerance
    told = _told(said[row], known, spread * spread[row], scale, tolerance, row)
    return told and f"of the worst row {told}"


def _told(
    said: Array,
    known: Estimate,
    units: Array,
    scale: float,
    tolerance: Tolerance,
    row: int | None = None,
) -> str:
    """How many entries are off, and the worst of them."""
    doubt = np.where(np.isfinite(known.doubt), known.doubt, np.inf)
    with np.errstate(invalid="ignore"):
        off = np.abs(said - known.value) * units
        allowed = tolerance.size * scale + IN_DOUBT * doubt * units
        wrong = (off > allowed) | ~np.isfinite(said)
    if not wrong.any():
        return ""
    off = np.where(wrong, np.where(np.isfinite(off), off, np.inf), -1.0)
    worst = np.unravel_index(off.argmax(), off.shape)
    index = tuple(map(int, worst)) if row is None else (row, int(worst[0]))
    where = str(index) if len(index) > 1 else str(index[0])
    return (
        f"{int(wrong.sum())} of {wrong.size} entries {'is' if wrong.sum() == 1 else 'are'} off, "
        f"most {where}, which says {said[worst]:.6g} where differences say "
        f"{known.value[worst]:.6g}."
    )


def _layers(
    s: Sample, wrong: Mapping[str, Judged], parts: Sequence[tuple[str, Model]]
) -> Iterator[str]:
    """From which layer on ways are wrong."""
    left = dict(wrong)
    for name, part in parts:
        guilty = [label for label, one in left.items() if _is_wrong(s, one, part)]
        if guilty:
            ways = listed(guilty)
            yield f"{ways} {'begin' if len(guilty) > 1 else 'begins'} to be wrong in layer {name}."
        left = {label: one for label, one in left.items() if label not in guilty}
        if not left:
            return
    yield f"Up to no single layer is {listed(list(left))} wrong: only the whole model shows it."


def where_it_raises(s: Sample, claim: Claim) -> str:
    """In which layer a way raises, as a sentence, or `""`."""
    for name, part in pieces(s.box):
        piece = _piece(s, 0, part)
        if piece is not None and isinstance(_answer(piece, claim), str):
            return f" It begins in layer {plain(name)}."
    return ""


def _piece(s: Sample, example: int, part: Model) -> Sample | None:
    """A piece of the model at an example, one mixture of its outputs; `None` if it is no such."""
    one = s.one(example)
    try:
        box = piece_of(one.box, part, one.shaped(one.x))
    except Exception:  # whatever a piece raises that is called alone
        return None
    m = box.width
    mixing = np.random.default_rng(0).normal(size=(m, 1)) / np.sqrt(m) if m > 1 else np.eye(1)
    piece = replace(one, box=box, mixing=mixing, rounding=np.zeros(1), known={})
    return replace(piece, rounding=noise(piece, box.values))


def _answer(s: Sample, claim: Claim) -> Array | str:
    """What a way says of the Hessian, or what it raises."""
    form = form_of(quantities.HESSIAN, s)
    try:
        return claim.at_places(form, s)  # type: ignore[arg-type]
    except Exception as error:  # whatever a way raises
        return first_line(error)


def _is_wrong(s: Sample, judged: Judged, part: Model) -> bool:
    """Whether a way is wrong of a piece of the model already."""
    piece = _piece(s, judged.comparison.worst[0], part)
    value = None if piece is None else _answer(piece, judged.claim)
    if piece is None or value is None or isinstance(value, str):
        return False
    form = form_of(quantities.HESSIAN, piece)
    assert isinstance(form, Form)
    truth = truth_of(quantities.HESSIAN, form, piece, piece.along())
    allowed = max(VISIBLE, judged.tolerance.size)
    return bool(compare(value, truth, Tolerance(allowed, "")).wrong.any())
