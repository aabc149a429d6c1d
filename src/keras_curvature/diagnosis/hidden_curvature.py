"""Curvature that sits in kinks: how much, and in which parts of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_curvature.diagnosis.activations import Part
from keras_curvature.diagnosis.activations import named as ops
from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import ENGINE, WIDE, Sample, Subject
from keras_curvature.diagnosis.unit_states import CHANGED, State, look
from keras_curvature.engines.api import xp
from keras_curvature.measurement import segments
from keras_curvature.measurement.segment_slopes import Segments
from keras_curvature.report.text import listed, percent
from keras_curvature.report.verdict import HIDDEN
from keras_curvature.typing import Array, Tensor

MOST_LINES = 8
"""Straight lines between examples along which the change of slope is followed."""

LINES_IF_WIDE = 2
"""Followed at least, and of a model of thousands of inputs, where each of them costs more."""

WORTH_TELLING = 0.01
"""Hidden fraction below which a function counts as smooth."""

ROUNDS = 8
"""Times that a piece is cut into `segments.PIECES`: what is left is 6e-7 of it."""

KINK = 1e-4
"""Share of what is missed on the whole piece from which the rest, on so little, is a kink.

What is not a kink is left with 4e-6 of it at most, where the second derivative is not that of the
slope. The largest of many kinks on the piece has more.
"""

MANY = 0.1
"""Share of the examples at which a smooth part is flat from which it counts as saturated."""

EXACT_SLOPE = 1e-10
"""Change of slope, relative to the largest, that rounding in float64 does not make."""


@dataclass(frozen=True)
class Lines:
    """The function along straight lines between examples, in float64.

    Attributes:
        start: `(lines, d)`.
        end: `(lines, d)`.
        rest: the other inputs.
        along: slopes and integrals of the exact second derivative.
    """

    start: Array
    end: Array
    rest: tuple[Tensor, ...]
    along: Segments

    @property
    def missed(self) -> Array:
        """|change of slope − integral of the exact second derivative|, `(lines, pieces)`."""
        change = np.diff(self.along.slopes, axis=1)
        return np.abs(change - self.along.curvature_integrals).max(axis=2)

    @property
    def steepest(self) -> float:
        """The largest slope."""
        return float(np.abs(self.along.slopes).max())


def lines_at_most(s: Subject) -> int:
    """How many lines are followed: fewer of a model of many outputs, or one that fills memory."""
    most = LINES_IF_WIDE if len(s.spread) > WIDE else MOST_LINES // s.f64.outputs.width
    return int(np.clip(s.f64.rows_at_once(), LINES_IF_WIDE, most))


def lines_of(s: Subject, z: Array, rest: Sequence[Tensor]) -> Lines:
    """Lines between examples; from one example alone to one standard deviation away."""
    first, last = segments.pairs(len(z))
    first, last = (side[: lines_at_most(s)] for side in (first, last))
    ends = z[last] if len(z) > 1 else z + s.v
    return _followed(s, z[first], ends, [xp.take(r, first) for r in rest])


def _followed(
    s: Subject, start: Array, end: Array, rest: Sequence[Tensor], *, once: bool = True
) -> Lines:
    f = s.f64

    def compute(*tensors: Tensor) -> dict[str, Tensor]:
        start, end, *rest, spread = tensors
        return segments.along(ENGINE, f, start, end, rest, spread)

    found = s.run(compute, (start, end, *rest), segments.rows_of_one(f), [s.spread], once=once)
    return Lines(start, end, tuple(rest), segments.segments_of(found))


def kinks(s: Subject, lines: Lines, noise: float) -> Lines | None:
    """Follows the change of slope that the second derivative misses down to single points.

    On a smooth function what is missed is the error of the quadrature, which is gone after a
    few rounds. A kink stays what it is however short the piece around it.

    Args:
        s: the subject.
        lines: between the examples.
        noise: rounding in one value, relative to the spread of the values.

    Returns:
        The short lines across the kinks that were found, or `None`.
    """
    least = max(EXACT_SLOPE, 100 * noise) * lines.steepest
    found = lines
    for _ in range(ROUNDS):
        worst = np.argmax(np.nan_to_num(found.missed), axis=1)[:, None]
        step = (found.end - found.start) / segments.PIECES
        start = found.start + worst * step
        found = _followed(s, start, start + step, found.rest, once=False)
        left = found.missed.sum(axis=1)
        real = (left > least) & (left > KINK * lines.missed.max(axis=1))
        if not real.any():
            return None  # nor on any part of it: there is no more in the parts than in the whole
    return Lines(
        found.start[real],
        found.end[real],
        tuple(xp.take(r, np.flatnonzero(real)) for r in found.rest),
        found.along,
    )


@dataclass(frozen=True)
class Blame:
    """Which parts the kinks are in.

    Attributes:
        counts: how many are in each part with kinks that can be looked at.
        steps: at how many of the others the units of a smooth part go from one slope to another:
            a saturated unit does it over less than is told from a point.
        unexplained: how many are in no part with kinks.
    """

    counts: dict[Part, int]
    steps: dict[Part, int]
    unexplained: int


def blame(s: Subject, parts: Sequence[Part], kinks: Lines) -> Blame:
    """Looks which units switch between the two ends of the short lines across the kinks."""
    z = np.concatenate([kinks.start, kinks.end])
    rest = [xp.concatenate([r, r], axis=0) for r in kinks.rest]
    switched = {}
    for state in look(s, s.f64, parts, xp.constant(z), rest):
        before, after = np.split(state.signature, 2)
        switched[state.part] = np.abs(after - before) > CHANGED
    kinked = [changed for part, changed in switched.items() if part.kinked]
    left = ~np.any([np.zeros(len(kinks.start), bool), *kinked], axis=0)
    return Blame(
        {part: int(changed.sum()) for part, changed in switched.items() if part.kinked},
        {p: int((changed & left).sum()) for p, changed in switched.items() if not p.kinked},
        int(left.sum()),
    )


def findings(
    s: Subject,
    lines: Lines,
    noise: float,
    taken: Sample,
    parts: Sequence[Part],
    states: Sequence[State],
    *,
    right: bool,
) -> list[Finding]:
    """The finding that says which parts have the kinks, if there are any.

    Args:
        s: the subject.
        lines: between the examples.
        noise: rounding in one value, relative to the spread of the values.
        taken: first and second derivatives at the examples.
        parts: of the network.
        states: what they do at the examples.
        right: whether derivatives are those of the values, as far as differences can tell.
    """
    share = lines.along.hidden_fraction()
    found = kinks(s, lines, noise) if share >= WORTH_TELLING else None
    if found is None:
        return []
    to_blame = blame(s, parts, found)
    switching = {state.part for state in states if state.switching}
    hit = {part for part, count in to_blame.counts.items() if count}
    named = [
        part
        for part in parts
        if part.kinked
        # In a loop or a function nothing can be seen: named if nothing else explains a kink.
        and (part in switching or part in hit or (to_blame.unexplained and not part.whole))
    ]
    saturated = _saturated(states, to_blame)
    if saturated and not named:
        finding = _of_steps(s, share, taken, saturated)
    else:
        finding = _finding(s, share, len(found.start), taken, named, states, to_blame)
    return [finding if right else replace(finding, meaning=OF_AN_ALTERED_GRADIENT)]


def _saturated(states: Sequence[State], to_blame: Blame) -> list[Part]:
    """The smooth parts whose units step between the examples, or else are flat at these."""
    stepping = [part for part, count in to_blame.steps.items() if count]
    flat = [state for state in states if not state.part.kinked]
    return stepping or [state.part for state in flat if state.flat.mean() >= MANY]


def _of_steps(s: Subject, share: float, taken: Sample, parts: Sequence[Part]) -> Finding:
    """What bends is smooth, and looks like a kink from as far away as the examples are."""
    return Finding(
        kind="partly hidden",
        where=where(parts),
        layers=tuple(part.layer for part in parts if part.layer),
        found=f"{percent(share).capitalize()} of the change of slope between the examples sits in "
        f"steps of saturated units, {where(parts)}, that are too narrow to be met at an example; "
        f"the exact second derivative is {_exact(s, taken)}.",
        meaning="The exact second derivative is right at every point, and hardly anything at the "
        "examples: each unit goes from one flat stretch to the other over far less than the "
        "examples lie apart.",
        advice="Scale the inputs (mean 0, deviation 1), with keras.layers.Normalization for one, "
        "and check that the weights have not grown without bound. Until then read scale_mean, "
        "scale_rms and slope_change instead of mean and rms.",
        size=share,
    )


def _exact(s: Subject, taken: Sample) -> str:
    """What the exact second derivative is at the examples."""
    zero = int(taken.straight.sum())
    return f"exactly 0 at {zero} of {s.count} examples" if zero else "nowhere 0"


def _finding(
    s: Subject,
    share: float,
    followed: int,
    taken: Sample,
    named: Sequence[Part],
    states: Sequence[State],
    to_blame: Blame,
) -> Finding:
    sentences = [
        f"{percent(share).capitalize()} of the change of slope between the examples sits in kinks "
        f"that the exact second derivative does not see; it is {_exact(s, taken)}.",
        *_units([state for state in states if state.part in named and state.switching]),
        *_kinks(followed, [(part, to_blame.counts.get(part, 0)) for part in named]),
    ]
    return Finding(
        kind="piecewise linear" if share >= HIDDEN else "partly hidden",
        # Where a gradient is stopped a value may jump, as of a rounded one.
        where=where(named) or ops(s.bound.f.activity.cuts) or "from an op that is not known here",
        layers=tuple(part.layer for part in named if part.layer),
        found=" ".join(sentences),
        meaning=_meaning(share),
        advice=_advice(named),
        size=share,
    )


def where(parts: Sequence[Part]) -> str:
    """Parts with the same activation together: `relu in 'a' and 'b', abs in 'c'`."""
    by_words: dict[str, list[str]] = {}
    for part in parts:
        by_words.setdefault(part.words, []).extend([repr(part.layer)] if part.layer else [])
    return listed([f"{w} in {listed(names)}" if names else w for w, names in by_words.items()])


def _units(states: Sequence[State]) -> list[str]:
    told = [
        f"{state.switching} of {state.units} units of {state.part.name}"
        + (f" ({state.off} pass on nothing at any of them)" if state.off else "")
        for state in states
    ]
    return [f"Between them switch {listed(told)}."] if told else []


def _kinks(followed: int, hit: Sequence[tuple[Part, int]]) -> list[str]:
    told = [f"{count} in {part.name}" for part, count in hit if count]
    if not told:
        return []
    return [f"{followed} kinks were followed to single points: {listed(told)}."]


OF_AN_ALTERED_GRADIENT = (
    "Between its kinks the slope that autodiff gives bends less than it changes from point to "
    "point; and that slope is not the one of the values, as the finding about it says."
)


def _meaning(share: float) -> str:
    if share >= HIDDEN:
        return (
            "Autodiff is right, and sees next to nothing: between its kinks the function hardly "
            "bends, and what makes its shape is in the kinks."
        )
    return (
        "The exact second derivative is right at every point, but leaves out what the kinks add "
        "between the points."
    )


def _advice(parts: Sequence[Part]) -> str:
    shapes = dict.fromkeys(shape for part in parts for shape in part.shapes if shape.instead)
    exchange = [f"{shape.instead} in place of {shape.word}" for shape in shapes]
    train = (
        f" For second derivatives at a point train with {listed(exchange)}; "
        "kc.smooth(model, beta) makes a smooth copy of this model to compare with."
        if exchange
        else ""
    )
    return (
        "Read scale_mean, scale_rms and slope_change instead of mean and rms, and "
        f"kc.scale_curvature instead of kc.hessian.{train}"
    )
