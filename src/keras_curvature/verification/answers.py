"""What this library says the derivatives are, at the places where differences were taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keras_curvature.diagnosis.subject import Subject
from keras_curvature.engines import quantities
from keras_curvature.engines.api import (
    ENGINES,
    BoundModel,
    Evaluator,
    Options,
    flat_derivatives,
    xp,
)
from keras_curvature.engines.backend import FlatFunction, flatten
from keras_curvature.typing import Array
from keras_curvature.verification.truth import Lines

DERIVATIVES = tuple(
    name
    for name in quantities.NAMES
    if name not in (quantities.VALUE, quantities.DIVERGENCE, quantities.BIHARMONIC)
)

NUMBERS = 2**24
"""Numbers in a result from which it is not asked for."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the library says.

    Attributes:
        engine: that computed it.
        value: `(n, k)`, or `(n, k, axes)` for the diagonal.
    """

    engine: str
    value: Array


def points(s: Subject, bound: BoundModel) -> BoundModel:
    """The bound model at the examples that are looked at."""
    inputs = dataclasses.replace(bound.inputs, leaves=s.leaves)
    return dataclasses.replace(bound, inputs=inputs)


def affordable(s: Subject) -> tuple[str, ...]:
    """The quantities whose results are not too large."""
    f, n = s.bound.f, s.count
    d, m = f.inputs.width, f.outputs.width
    numbers = {
        quantities.JACOBIAN: n * m * d,
        quantities.HESSIAN: n * m * d * d,
        quantities.DIAGONAL: n * m * d,
        quantities.PRODUCT: n * m * d,
    }
    return tuple(name for name in DERIVATIVES if numbers.get(name, 0) <= NUMBERS)


def answer(s: Subject, lines: Lines, bound: BoundModel, options: Options, name: str) -> Answer:
    """One derivative, by the engine that a user gets who asks for it alone."""
    engine = bound.engine_for((name,))
    v = xp.constant(lines.v, bound.f.dtype) if name in quantities.ALONG_V else None
    at = points(s, bound)
    found = flat_derivatives(at, engine, (name,), v, options.batch_size)[name]
    result = xp.to_numpy(xp.cast(found, bound.result_dtype), np.float64)
    mixed = np.einsum("nm...,mk->nk...", result, s.f.mixing)
    return Answer(engine.name, _at_the_lines(s, lines, name, mixed))


def _at_the_lines(s: Subject, lines: Lines, name: str, found: Array) -> Array:
    """A derivative of the mixed outputs along the lines, in units of their directions."""
    if name == quantities.JACOBIAN:
        return np.einsum("nkd,nd->nk", found, lines.v)
    if name == quantities.PRODUCT:
        return np.einsum("nkd,nd->nk", found, lines.u)
    if name == quantities.HESSIAN:
        return np.einsum("nkde,nd,ne->nk", found, lines.u, lines.v)
    if name == quantities.DIAGONAL:
        return (found * s.spread**2)[:, :, lines.axes]
    return found


def afresh(bound: BoundModel) -> BoundModel:
    """The bound model without anything that was compiled for it."""
    return dataclasses.replace(bound, evaluator=Evaluator(bound.f))


def values(s: Subject, bound: BoundModel, options: Options) -> Mapping[str, Array]:
    """The outputs of the graph and of another trace, op by op as it is, `(n, m)` each.

    In the model's own dtype. The model itself is not called, which might do more than compute.
    """
    f = dataclasses.replace(bound.f, dtype=bound.f.native)
    anew = flatten(
        s.model, bound.inputs, options.output, options.wrt, bound.f.native, options.columns
    )
    chosen = Evaluator(f).choice(options.engine, (quantities.VALUE,)).name
    plain = dataclasses.replace(anew.as_it_is(), batch=f.batch)
    return {
        "graph": _values(points(s, bound), f, chosen, options.batch_size),
        "own": _values(points(s, bound), plain, "nested", options.batch_size),
    }


def _values(at: BoundModel, f: FlatFunction, engine: str, batch_size: int | None) -> Array:
    at = dataclasses.replace(at, evaluator=Evaluator(f))
    found = flat_derivatives(at, ENGINES[engine], (quantities.VALUE,), None, batch_size)
    return xp.to_numpy(found[quantities.VALUE], np.float64)
