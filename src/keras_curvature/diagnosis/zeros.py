"""Second derivatives that are exactly 0, and why, where kinks are not the reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_curvature.diagnosis.activations import Part, layers_of
from keras_curvature.diagnosis.hidden_curvature import EXACT_SLOPE, Lines, where
from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Sample, Subject, sample
from keras_curvature.diagnosis.unit_states import State
from keras_curvature.engines.api import xp

WORTH_TELLING = 0.1
"""Share of the examples with a second derivative of 0 from which the reason is looked for."""

DEAD = 0.9
"""Share of a layer's units that pass on nothing at any example from which that is told."""

ENOUGH = 16
"""Examples from which a unit that is off at all of them counts as dead."""

ROUNDED = float(np.finfo(np.float64).eps)
"""Of the slope, what a second derivative over a standard deviation has to be to be seen in it."""

Rows = NDArray[np.bool_]


def zeros(
    s: Subject,
    lines: Lines,
    taken: Sample,
    parts: Sequence[Part],
    states: Sequence[State],
    *,
    explained: bool,
) -> list[Finding]:
    """Why the second derivative is 0 at many examples.

    Args:
        s: the subject.
        lines: between the examples.
        taken: first and second derivatives at the examples.
        parts: of the network.
        states: what they do at the examples.
        explained: whether kinks or an altered gradient were found, which explain zeros.
    """
    straight = taken.straight
    level = straight & taken.level
    blocked = [(state, state.blocked & level) for state in states]
    blocked = [(state, rows) for state, rows in blocked if rows.mean() >= WORTH_TELLING]
    found = [_blocked(s, state, rows) for state, rows in blocked]
    stopped = {state.part for state, _ in blocked}
    dead = [state for state in states if state.part not in stopped and _is_dead(s, state)]
    found += [_dead(s, state) for state in dead]
    left = straight.copy()
    for _, rows in blocked:
        left &= ~rows
    if explained or left.mean() < WORTH_TELLING:
        return found
    return [*found, _unblocked(s, lines, left, level, parts, states)]


def _blocked(s: Subject, state: State, rows: Rows) -> Finding:
    """A part that lets nothing pass."""
    part = state.part
    kind = "saturated" if not part.kinked else "dead units" if _is_dead(s, state) else "flat"
    off = f" {state.off} of them pass on nothing at any example." if kind == "dead units" else ""
    return Finding(
        kind=kind,
        where=part.name,
        layers=layers_of([part]),
        found=f"At {_of(rows, s)} none of the {state.units} units of {part.name} passes on a "
        + ("derivative: all are off." if _dies(part) else "derivative: all are on a flat stretch.")
        + off,
        meaning="There the output does not change with the input: every derivative is exactly 0.",
        advice=_widen(part) if kind == "flat" else _revive(part),
        size=float(rows.mean()),
    )


def _is_dead(s: Subject, state: State) -> bool:
    return _dies(state.part) and s.count >= ENOUGH and state.off >= DEAD * state.units


def _dies(part: Part) -> bool:
    """Whether its units can be off for good."""
    return any(shape.word in ("relu", "relu6") for shape in part.shapes)


def _dead(s: Subject, state: State) -> Finding:
    return Finding(
        kind="dead units",
        where=state.part.name,
        layers=layers_of([state.part]),
        found=f"{state.off} of {state.units} units of {state.part.name} pass on nothing at any of "
        f"the {s.count} examples.",
        meaning="They add neither slope nor curvature here, and training cannot move them.",
        advice=_revive(state.part),
        size=state.off / state.units,
    )


def _revive(part: Part) -> str:
    if _dies(part):
        return (
            "Check that the inputs are scaled (mean 0, deviation 1), lower the learning rate, "
            "start anew, or take silu or gelu, which are never off altogether."
        )
    return (
        "Check that the inputs are scaled (mean 0, deviation 1) and that the weights have not "
        'grown without bound; evaluate with dtype="float64" to see what is left.'
    )


def _widen(part: Part) -> str:
    return (
        "If these examples matter, check that the inputs are scaled (mean 0, deviation 1), and "
        f"take more units or one that is nowhere flat, such as {part.shapes[0].instead}."
    )


def _unblocked(
    s: Subject,
    lines: Lines,
    left: Rows,
    level: Rows,
    parts: Sequence[Part],
    states: Sequence[State],
) -> Finding:
    """Zeros although every part passes something on, or nothing can be seen of them."""
    wide = sample(s, s.f64)
    # Less than the slope is rounded by is a straight line, however wide the exponent.
    bent = np.abs(wide.curvature) > ROUNDED * np.abs(wide.slope)
    small = left & ~wide.straight & bent.any(axis=1)
    if small.mean() >= WORTH_TELLING:
        return _underflow(s, small, np.abs(wide.curvature[small]).max())
    if level[left].all():
        return _constant(s, left)
    change = np.abs(np.diff(lines.along.slopes, axis=1)).max()
    is_line = bool(change <= EXACT_SLOPE * lines.steepest)
    out = [
        state.part
        for state in states
        if not state.part.kinked and (state.flat[left].all() or (is_line and not state.switching))
    ]
    if out:
        return _saturated(s, left, out)
    return _linear(s, left, parts) if is_line else _linear_in_part(s, left)


def _constant(s: Subject, rows: Rows) -> Finding:
    return Finding(
        kind="constant",
        where="",
        layers=(),
        found=f"At {_of(rows, s)} the whole gradient is exactly 0, though the output is connected "
        "to the input and no activation is in the way.",
        meaning="The function does not change there: a weight on the way is 0, as in a last layer "
        "that starts from zeros.",
        advice="Train first, or look at the weights of the last layers.",
        size=float(rows.mean()),
    )


def _underflow(s: Subject, rows: Rows, largest: float) -> Finding:
    return Finding(
        kind="underflow",
        where="",
        layers=(),
        found=f"At {_of(rows, s)} the second derivative is 0 in {xp.name_of(s.f.dtype)} and up to "
        f"{largest:.2g} in float64, along a direction one standard deviation long.",
        meaning="It is too small for the dtype, and not 0.",
        advice='Pass dtype="float64", or scale inputs and outputs to a deviation of 1.',
        size=float(rows.mean()),
    )


def _saturated(s: Subject, rows: Rows, parts: Sequence[Part]) -> Finding:
    return Finding(
        kind="saturated",
        where=where(parts),
        layers=layers_of(parts),
        found=f"At {_of(rows, s)} every unit of {where(parts)} is so far out that it is a straight "
        "line to the last bit.",
        meaning="Between these examples the network is linear: a second derivative of 0 is right.",
        advice="Check that the inputs are scaled (mean 0, deviation 1), and that the weights "
        "have not grown without bound.",
        size=float(rows.mean()),
    )


def _linear(s: Subject, rows: Rows, parts: Sequence[Part]) -> Finding:
    kinked = [part for part in parts if part.kinked]
    reason = (
        f"; {where(kinked)} does not switch between them"
        if kinked
        else "; no op on the way bends"
        if not parts
        else ""
    )
    return Finding(
        kind="linear",
        where="",
        layers=layers_of(kinked),
        found=f"The second derivative is exactly 0 at {_of(rows, s)}, and the slope stays the same "
        f"between them{reason}.",
        meaning="Here the model is a straight line: every second derivative of 0 is right.",
        advice="If it is to bend, put an activation between its layers, silu or gelu, or train it "
        "until it does; if it is linear on purpose, all is well.",
        size=float(rows.mean()),
    )


def _linear_in_part(s: Subject, rows: Rows) -> Finding:
    return Finding(
        kind="partly linear",
        where="",
        layers=(),
        found=f"The second derivative is exactly 0 at {_of(rows, s)}. Between the examples the "
        "slope changes, and the exact second derivative accounts for that.",
        meaning="Around these examples the model is a straight line, and a second derivative of 0 "
        "is right; it bends elsewhere.",
        advice="If it is meant so, all is well; with silu or gelu it would bend everywhere.",
        size=float(rows.mean()),
    )


def _of(rows: Rows, s: Subject) -> str:
    return f"{int(rows.sum())} of {s.count} examples"
