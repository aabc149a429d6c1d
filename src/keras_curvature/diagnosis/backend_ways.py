"""Which of the backend's own ways to a second derivative fail or are wrong on this model."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_curvature.diagnosis.backend_gradients import (
    EXAMPLES,
    WRONG,
    WRONG_IN_HALF,
    reason_of,
    truth_at,
)
from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Sample, Subject
from keras_curvature.engines.api import selector, xp
from keras_curvature.engines.backend import as_the_user_computes, ways_of
from keras_curvature.engines.backend import backend_second_derivative as own_one
from keras_curvature.report.text import listed
from keras_curvature.typing import Tensor

MOST_INPUTS = 512
"""Inputs up to which ways are asked that give whole Hessians only."""

NOT_ITS_OWN = ("jax.experimental.jet", "jet", "folx")
"""Ways that have rules of their own and lack many: that they fail is no news of a model."""


def own_ways(s: Subject, taken: Sample) -> tuple[list[Finding], str]:
    """The finding that some of them do, and what was asked.

    Of models of one input, as they are, in their own dtype.
    """
    backend = keras.config.backend()
    rows = np.flatnonzero(taken.finite)[:EXAMPLES]
    leaves, of_layer = s.leaves, s.options.wrt is not None or s.options.columns is not None
    if len(leaves) != 1 or of_layer or not xp.is_floating(leaves[0].dtype) or not rows.size:
        return [], f"{own_one.NAME}'s own ways were not asked: of models of one float input only."
    x = xp.to_numpy(xp.take(leaves[0], rows))
    ways = [way for way in ways_of(backend).WAYS if way.name not in NOT_ITS_OWN]
    if x[0].size > MOST_INPUTS:
        ways = [way for way in ways if way.hessian is None]
    true, allowed, size, length = truth_at(s, taken, rows)
    v = (s.v[rows] / length[:, None]).reshape(x.shape).astype(x.dtype)
    failing: dict[str, list[str]] = {}
    wrong, right = list[str](), list[str]()
    worst = 0.0
    limit = WRONG_IN_HALF if own_one.half_of(s.bound.f) else WRONG
    for way in ways:
        try:
            with as_the_user_computes(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = np.asarray(way.along(_called(s), x, v), np.float64).reshape(-1)
        except Exception as error:  # whatever it raises is the answer
            failing.setdefault(reason_of(error), []).append(way.name)
            continue
        with np.errstate(invalid="ignore"):
            off = np.maximum(np.abs(answer * length**2 - true) - allowed, 0).max() / (size or 1.0)
        if off < limit:
            right.append(way.name)
        else:  # NaN too
            said = f"by {off:.1%} of the true one" if np.isfinite(off) else "altogether: NaN"
            wrong.append(f"{way.name} is off {said}")
            worst = max(worst, off) if np.isfinite(off) else worst
    asked = f"{len(ways)} ways of {own_one.NAME} to a second derivative at {len(rows)} examples."
    if not failing and not wrong:
        return [], asked
    return [_finding(failing, wrong, right, worst or 1.0)], asked


def _finding(
    failing: dict[str, list[str]], wrong: Sequence[str], right: Sequence[str], worst: float
) -> Finding:
    said = [
        f"{listed(names, len(names))} fail{'s' * (len(names) == 1)} here ({reason})"
        for reason, names in failing.items()
    ]
    names = [name for group in failing.values() for name in group]
    names += [text.partition(" is off")[0] for text in wrong]
    others = f" Right here: {listed(list(right), len(right))}." if right else ""
    return Finding(
        kind="own ways",
        where=listed(names, len(names)),
        layers=(),
        found=f"{'; '.join([*said, *wrong])}.{others}",
        meaning=f"These ways of {own_one.NAME} have no right second derivative of this model. The "
        "functions and the monitor of this library do not take them.",
        advice="Take second derivatives with this library, also to train on them"
        + (f", or by {right[0]}." if right else "."),
        size=float(worst),
    )


def _called(s: Subject) -> Any:
    """The model as the user calls it, its outputs mixed as everywhere here, `(n, 1)`."""
    selected = selector(s.model, s.options.output)
    weights = s.f.mixing.sum(axis=1, keepdims=True)
    options = {"training": False} if isinstance(s.model, keras.Layer) else {}

    def f(x: Tensor) -> Tensor:
        found = keras.tree.flatten(selected(s.model(x, **options)))
        flat = [keras.ops.reshape(y, (-1, math.prod(y.shape[1:]))) for y in found]
        y = keras.ops.concatenate(flat, axis=1)
        return keras.ops.matmul(y, keras.ops.cast(weights, y.dtype))

    return f
