"""What this library says the derivatives are, at the places where differences were taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_curvature.diagnosis.subject import Subject
from keras_curvature.engines import quantities
from keras_curvature.engines.choice import ENGINES
from keras_curvature.engines.evaluation import Evaluator, Options, Problem, flat_derivatives
from keras_curvature.engines.function import selector
from keras_curvature.engines.tracing import called, unnoticed
from keras_curvature.measurement import Array
from keras_curvature.verification.truth import Lines

DERIVATIVES = tuple(name for name in quantities.NAMES if name != quantities.VALUE)

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


def points(s: Subject, problem: Problem) -> Problem:
    """The problem at the examples that are looked at."""
    inputs = dataclasses.replace(problem.inputs, leaves=s.leaves)
    return dataclasses.replace(problem, inputs=inputs)


def affordable(s: Subject) -> tuple[str, ...]:
    """The quantities whose results are not too large."""
    f, n = s.problem.f, s.count
    d, m = f.inputs.width, f.outputs.width
    numbers = {
        quantities.JACOBIAN: n * m * d,
        quantities.HESSIAN: n * m * d * d,
        quantities.DIAGONAL: n * m * d,
        quantities.PRODUCT: n * m * d,
    }
    return tuple(name for name in DERIVATIVES if numbers.get(name, 0) <= NUMBERS)


def answer(s: Subject, lines: Lines, problem: Problem, options: Options, name: str) -> Answer:
    """One derivative, by the engine that a user gets who asks for it alone."""
    choice = problem.evaluator.choice(options.engine, (name,))
    v = tf.constant(lines.v, problem.f.dtype) if name in quantities.ALONG_V else None
    at = points(s, problem)
    found = flat_derivatives(at, ENGINES[choice.name], (name,), v, options.batch_size)[name]
    result = tf.cast(tf.cast(found, problem.result_dtype), tf.float64).numpy()
    mixed = np.einsum("nm...,mk->nk...", result, s.f.mixing)
    return Answer(choice.name, _at_the_lines(s, lines, name, mixed))


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


def afresh(problem: Problem) -> Problem:
    """The problem without anything that was compiled for it."""
    return dataclasses.replace(problem, evaluator=Evaluator(problem.f))


def values(s: Subject, problem: Problem, options: Options) -> Mapping[str, Array]:
    """The outputs of the graph and of the model's own call, in its own dtype, `(n, m)` each."""
    leaves, specs = s.leaves, problem.inputs.specs
    given = [tf.cast(leaf, spec.dtype) for leaf, spec in zip(leaves, specs, strict=True)]
    inputs = problem.inputs.packed(given)
    with unnoticed(s.model):
        output = selector(s.model, options.output)(called(s.model, inputs, training=False))
    own = [tf.cast(leaf, tf.float64) for leaf in keras.tree.flatten(output)]
    evaluator = Evaluator(dataclasses.replace(problem.f, dtype=problem.f.native))
    name = quantities.VALUE
    engine = ENGINES[evaluator.choice(options.engine, (name,)).name]
    at = points(s, dataclasses.replace(problem, evaluator=evaluator))
    found = flat_derivatives(at, engine, (name,), None, options.batch_size)[name]
    return {
        "graph": tf.cast(found, tf.float64).numpy(),
        "own": problem.f.outputs.join(own).numpy(),
    }
