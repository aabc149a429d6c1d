"""What the backend's own second derivative is for this model, against the mended one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keras_curvature.diagnosis.activations import layers_of, named
from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Sample, Subject, sample
from keras_curvature.engines.api import Place, xp
from keras_curvature.engines.backend import backend_second_derivative as own_one
from keras_curvature.typing import Array, Tensor

EXAMPLES, CALLS = 4, 3
"""A few examples; a compiled graph can give another answer each time, and the worst counts."""

WRONG, WRONG_WHERE_MENDED, WRONG_IN_HALF = 0.003, 0.001, 0.05
"""Relative error that rounding does not make in float32, and in float16.

Where the backend is known to be wrong less of a proof is needed.
"""

ROUNDINGS = 10
"""How much larger the backend's rounding may be than ours: another order of the same sums."""

SMALL = 1e-3
"""Second derivatives below this share of the slope are judged by the slope: they are rounding."""


@dataclass(frozen=True)
class Own:
    """The backend's answer.

    Attributes:
        error: relative to the true second derivatives along `Subject.v`; NaN if it is not finite.
        lost: at how many examples it says 0 where the truth is not.
        message: why there is no answer, or `""`.
    """

    error: float
    lost: int
    message: str


def own_answer(s: Subject, taken: Sample) -> Own:
    """Asks the backend, on the model as it is, in its own dtype."""
    rows = np.flatnonzero(taken.finite)[:EXAMPLES]
    if not rows.size:
        return Own(0.0, 0, "")
    # Of length 1 in the units of x, as one asks for an entry of the Hessian.
    length = np.linalg.norm(s.v[rows], axis=1, keepdims=True)
    v = xp.constant(s.v[rows] / length)
    leaves = [xp.take(leaf, rows) for leaf in s.leaves]
    try:
        compute, mixing = _asking(s), xp.constant(s.f.mixing.sum(axis=1))
        function = s.bound.evaluator.function(compute, [*leaves, v], [mixing])
        found = [xp.to_numpy(function(*leaves, v, mixing)["own"]) for _ in range(CALLS)]
        answers = [answer * length[:, 0] ** 2 for answer in found]
    except Exception as error:  # whatever it raises is the answer
        return Own(np.nan, 0, reason_of(error))
    true, allowed, size, _ = truth_at(s, taken, rows)
    errors = [
        np.maximum(np.abs(answer - true) - allowed, 0).max() / (size or 1.0) for answer in answers
    ]
    worst = int(np.argmax(errors))
    lost = int(np.sum((answers[worst] == 0) & (np.abs(true) > SMALL * size)))
    return Own(float(errors[worst]), lost, "")


def truth_at(
    s: Subject, taken: Sample, rows: NDArray[np.integer]
) -> tuple[Array, Array, float, Array]:
    """What the backend is to say of some examples along `Subject.v`, all outputs summed.

    Returns:
        The true second derivatives, what they may be off, what errors are relative to, and the
        length of each direction.
    """
    wide = sample(s, s.f64, int(rows[-1]) + 1)
    ours, true = (found.curvature[rows].sum(axis=1) for found in (taken, wide))
    true = np.where(np.isfinite(true), true, ours)
    slope = np.abs(wide.slope[rows].sum(axis=1))
    size = float(np.nanmax([np.abs(true).max(), SMALL * slope.max()]))
    # What rounding does to ours in the same dtype it may do to the backend's.
    allowed = ROUNDINGS * np.abs(ours - true)
    return true, allowed, size, np.linalg.norm(s.v[rows], axis=1)


def findings(s: Subject, own: Own) -> list[Finding]:
    """The finding that the backend's own second derivative is wrong or missing here."""
    activity = s.bound.f.activity
    if own.message:
        return [_missing(activity.mended, own.message)]
    half = own_one.half_of(s.bound.f)
    limit = WRONG_IN_HALF if half else WRONG_WHERE_MENDED if activity.mended else WRONG
    if own.error < limit:  # False for NaN
        return []
    if half and not activity.mended:
        return [_low_precision(half, own, min(EXAMPLES, s.count))]
    return [_wrong(activity.mended, own)]


def _wrong(mended: Sequence[Place], own: Own) -> Finding:
    places = [replace(p, op_type=own_one.WORDS.get(p.op_type, p.op_type)) for p in mended]
    reasons = dict.fromkeys(
        own_one.REASONS[p.op_type] for p in mended if p.op_type in own_one.REASONS
    )
    error = f"{own.error:.2g} times" if own.error > 2 else f"{own.error:.1%} of"
    return Finding(
        kind=f"{own_one.NAME} wrong",
        where=named(places),
        layers=layers_of(mended),
        found=f"{own_one.ASKED} give a second derivative that is off by {error} the true one on "
        "this model, without a word."
        if np.isfinite(own.error)
        else f"{own_one.ASKED} give NaN or infinity for the second derivative of this model.",
        meaning=f"{own_one.NAME}'s own rule is wrong at second order. {' '.join(reasons)} This "
        "library mends it, in its functions and its monitor."
        if mended
        else "It is not known here why; the number of this library agrees with differences of "
        "slopes, unless another finding says otherwise.",
        advice="Take second derivatives with this library, and do not train on one from "
        f"{own_one.NOT_TO_TAKE}.",
        size=own.error,
    )


def _missing(mended: Sequence[Place], message: str) -> Finding:
    return Finding(
        kind=f"{own_one.NAME} missing",
        where=named(mended),
        layers=layers_of(mended),
        found=f"{own_one.ASKED} fail on this model: {message}",
        meaning=f"{own_one.NAME} has no second derivative for an op of it. The functions and the "
        "monitor of this library supply one.",
        advice="Take second derivatives with this library, also to train on them.",
        size=1.0,
    )


def _low_precision(half: str, own: Own, count: int) -> Finding:
    lost = f", and exactly 0 at {own.lost} of {count} examples where it is not" if own.lost else ""
    return Finding(
        kind="underflow" if own.lost else "low precision",
        where=half,
        layers=(),
        found=f"{own_one.ASKED} are off by {own.error:.0%} of the true second derivative in "
        f"{half}{lost}.",
        meaning="Products of small slopes underflow and differences of large ones round away. The "
        "functions and the monitor of this library evaluate in float32 or better.",
        advice="Take second derivatives with this library, or in a float32 copy of the model.",
        size=own.error,
    )


def _asking(s: Subject) -> Callable[..., dict[str, Tensor]]:
    """`v' H v` of the sum of the few outputs, `(n,)`."""
    f = replace(s.bound.f, dtype=s.bound.f.native, mended=False)

    def ask(*tensors: Tensor) -> dict[str, Tensor]:
        *leaves, v, mixing = tensors
        z, rest = f.point(leaves)
        return {"own": own_one.backend_second_derivative(f, z, rest, v, mixing)}

    return ask


def reason_of(error: Exception) -> str:
    """The line of a message that says something."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [
        line for line in lines if re.search(r"gradient|ifferentia|not found|Error|support", line)
    ]
    return f"{type(error).__name__}: {(telling or lines or ['no message'])[-1][:160]}"
