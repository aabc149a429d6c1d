"""From Taylor propagation to the named derivatives of a flat function."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_curvature.engines.activity import Place
from keras_curvature.engines.engine import Engine
from keras_curvature.engines.quantities import (
    ALONG_AXES,
    CURVATURE,
    DIAGONAL,
    DIRECTIONAL,
    HESSIAN,
    JACOBIAN,
    LAPLACIAN,
    PRODUCT,
    SLOPE,
    VALUE,
)
from keras_curvature.engines.taylor.contractions import diagonal, pairs
from keras_curvature.engines.taylor.jets import Jet, is_shared
from keras_curvature.engines.taylor.modes import (
    Adjoint,
    Collapsed,
    Gradients,
    PerDirection,
    UnsuitedError,
)
from keras_curvature.engines.taylor.registry import lookup
from keras_curvature.engines.tensorflow import parallel_halves
from keras_curvature.engines.tensorflow.first_derivatives import value_and_jacobian
from keras_curvature.engines.tensorflow.flat_function import FlatFunction
from keras_curvature.engines.tensorflow.nested import Nested
from keras_curvature.engines.tensorflow.private import has_gradient
from keras_curvature.engines.tensorflow.taylor.active_path import active_path
from keras_curvature.engines.tensorflow.taylor.gram_factor import spanning_rows
from keras_curvature.engines.tensorflow.taylor.propagation import propagate, rule_for
from keras_curvature.engines.tensorflow.taylor.recorded_model import RecordedModel, record
from keras_curvature.engines.tensorflow.taylor.rules import table  # noqa: F401, fills the registry
from keras_curvature.engines.tensorflow.taylor.structure import (
    Cut,
    as_steps,
    keeps_batch,
    linear_entry,
)
from keras_curvature.engines.tensorflow.taylor.tape import ActiveJets

NESTED = Nested()

ADJOINTS = 16
"""Outputs up to which the graph is written out with a reverse pass for each."""


@dataclass(frozen=True)  # equal to itself in a key
class Taylor(Engine[FlatFunction]):
    """Second-order Taylor propagation."""

    name = "taylor"
    why = "exact, by second-order Taylor propagation"
    repeats_examples = False

    def products(
        self,
        f: FlatFunction,
        rows: tf.Tensor,
        others: Sequence[tf.Tensor],
        seeds: tf.Tensor,
        directions: tf.Tensor,
    ) -> tf.Tensor:
        """By reverse over reverse, the cheapest way to all entries of one product."""
        return NESTED.products(f, rows, others, seeds, directions)

    def compute(
        self,
        f: FlatFunction,
        z: tf.Tensor,
        rest: Sequence[tf.Tensor],
        v: tf.Tensor | None,
        names: Collection[str],
        directions_at_once: int,
    ) -> dict[str, tf.Tensor]:
        """Named derivatives; `names` decides how the second order is carried."""
        recorded = record(f, z, rest)
        results = {VALUE: recorded.value}
        if JACOBIAN in names:
            _, results[JACOBIAN] = value_and_jacobian(f, z, rest)
        if HESSIAN in names:
            results[HESSIAN] = hessian(recorded, directions_at_once)
            results[DIAGONAL] = tf.linalg.diag_part(results[HESSIAN])
            results[LAPLACIAN] = tf.linalg.trace(results[HESSIAN])
        elif DIAGONAL in names:
            results[DIAGONAL] = hessian_diagonal(recorded, directions_at_once)
            results[LAPLACIAN] = tf.reduce_sum(results[DIAGONAL], axis=-1)
        elif LAPLACIAN in names:
            results[LAPLACIAN] = laplacian(recorded, directions_at_once)
        if PRODUCT in names:
            assert v is not None, "checked by the caller"
            results[PRODUCT] = self.hessian_rows(f, z, rest, v[None])[:, :, 0]
            results[DIRECTIONAL] = tf.reduce_sum(results[PRODUCT] * v[:, None], axis=-1)
        elif DIRECTIONAL in names:
            assert v is not None, "checked by the caller"
            results[DIRECTIONAL] = recorded.push(recorded.start(v[None]), PerDirection(1))[1][0]
        return {name: results[name] for name in names}

    def trace(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
    ) -> tf.Tensor:
        """The mean of `vᵀHv`, of the second order summed over the directions."""
        recorded = record(f, z, rest)
        return _trace(recorded, recorded.start(directions)) / directions.shape[0]

    def along(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Slope and curvature along each direction, both carried."""
        recorded = record(f, z, rest)
        mode = PerDirection(directions.shape[0])
        slopes, curvatures = recorded.push(recorded.start(directions), mode)
        return {
            VALUE: recorded.value,
            SLOPE: tf.transpose(slopes, [1, 2, 0]),
            CURVATURE: tf.transpose(curvatures, [1, 2, 0]),
        }

    def slopes(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], v: tf.Tensor
    ) -> tf.Tensor:
        """Carried forward, all outputs together."""
        return self.along(f, z, rest, v[None])[SLOPE][:, :, 0]

    def directions(self, f: FlatFunction, names: Collection[str]) -> int:
        """As many as the narrowest tensor of a linear beginning is wide."""
        if not ALONG_AXES & set(names):
            return 1
        entry = linear_entry(as_steps(active_path(f)), f.source, f.fetches)
        d = f.inputs.width
        return d if entry is None else min(d, entry.width)

    def halves(self, f: FlatFunction, directions: int) -> float:
        """Where ops are large and few."""
        return parallel_halves.least_examples(f, directions)


def laplacian(recorded: RecordedModel, at_once: int) -> tf.Tensor:
    """The Laplacian, `(n, m)`, of the second order summed over the directions."""
    entry = _narrow_entry(recorded)
    if entry is None:
        if recorded.f.inputs.width <= at_once:
            return _trace(recorded, recorded.start())
        return _summed(
            lambda some: _trace(recorded, recorded.start(some[:, None])),
            recorded.axes(),
            at_once,
        )
    cut, jacobian = entry
    rows = spanning_rows(jacobian)
    return _summed(lambda some: _trace(recorded, cut.start(some), cut), rows, at_once)


def _trace(recorded: RecordedModel, jets: Sequence[Jet], cut: Cut | None = None) -> tf.Tensor:
    mode = Collapsed(jets[0].base.first.shape[0])
    return recorded.push(jets, mode, None if cut is None else cut.after)[1][0]


def hessian_diagonal(recorded: RecordedModel, at_once: int) -> tf.Tensor:
    """The Hessian's diagonal, `(n, m, d)`."""
    gradients = _gradients(recorded)
    if gradients is not None:
        try:
            return _diagonal_by_adjoint(recorded, gradients, at_once)
        except UnsuitedError:
            pass

    parts = [
        recorded.push(jets, PerDirection(jets[0].base.first.shape[0]))[1]
        for jets in _axes_in_chunks(recorded, at_once)
    ]
    return tf.transpose(tf.concat(parts, axis=0), [1, 2, 0])


def hessian(recorded: RecordedModel, at_once: int) -> tf.Tensor:
    """The Hessian, `(n, m, d, d)`."""
    gradients = _gradients(recorded)
    if gradients is not None:
        try:
            return _hessian_by_adjoint(recorded, gradients)
        except UnsuitedError:
            pass
    return _by_polarisation(recorded, at_once)


def _gradients(recorded: RecordedModel) -> Gradients | None:
    """The outputs' gradients, where each op's part in a Hessian can be told by example."""
    return None if why_no_adjoint(recorded.f) else recorded.gradients()


def why_no_adjoint(f: FlatFunction) -> str:
    """Why tangents and one reverse pass per output do not give all second derivatives, or `""`."""
    if f.outputs.width > ADJOINTS:
        return f"of more than {ADJOINTS} outputs"
    mixing = next((p.op for p in active_path(f) if not keeps_batch(p)), None)
    if mixing is None:
        return ""
    known = (place for place in f.activity.active if place.op_name == mixing.name)
    return f"through {next(known, Place(mixing.type, mixing.name, ''))}"


def fallbacks(f: FlatFunction) -> tuple[Place, ...]:
    """Ops without a rule, which TensorFlow is asked about one direction at a time."""
    places = {place.op_name: place for place in f.activity.active}
    missing = [passage.op for passage in active_path(f) if rule_for(passage.op) is None]
    return tuple(
        places.get(op.name, Place(op.type, op.name, "")) for op in missing if has_gradient(op.type)
    )


def unsuited(f: FlatFunction) -> tuple[Place, ...]:
    """Ops on lists of tensors without a rule: there is no asking about a direction of a list."""
    return tuple(
        place
        for place in f.activity.active
        if place.op_type.startswith("TensorList") and lookup(place.op_type) is None
    )


def _diagonal_by_adjoint(recorded: RecordedModel, gradients: Gradients, at_once: int) -> tf.Tensor:
    entry = _narrow_entry(recorded)
    if entry is not None:
        cut, jacobian = entry
        inner = _contracted(recorded, gradients, _unit_jets(cut), pairs, cut)
        half = tf.einsum("iw,nmwv->nmiv", jacobian, inner)
        return tf.reduce_sum(half * jacobian, axis=-1)
    parts = [
        _contracted(recorded, gradients, jets, diagonal)
        for jets in _axes_in_chunks(recorded, at_once)
    ]
    return tf.concat(parts, axis=2)


def _hessian_by_adjoint(recorded: RecordedModel, gradients: Gradients) -> tf.Tensor:
    entry = _narrow_entry(recorded)
    if entry is not None:
        cut, jacobian = entry
        inner = _contracted(recorded, gradients, _unit_jets(cut), pairs, cut)
        half = tf.einsum("iw,nmwv->nmiv", jacobian, inner)
        return tf.einsum("nmiv,jv->nmij", half, jacobian)
    return _contracted(recorded, gradients, recorded.start(), pairs)


def _contracted(
    recorded: RecordedModel,
    gradients: Gradients,
    jets: Sequence[Jet],
    contraction: Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None], tf.Tensor],
    cut: Cut | None = None,
) -> tf.Tensor:
    """The sum of what all ops add, in the shape that `contraction` gives."""
    k = jets[0].base.first.shape[0]
    mode = Adjoint(k, gradients, contraction)
    recorded.push(jets, mode, None if cut is None else cut.after)
    axes = [k, k] if contraction is pairs else [k]
    shape = [tf.shape(recorded.z)[0], recorded.f.outputs.width, *axes]
    total = mode.total()
    return tf.zeros(shape, recorded.z.dtype) if total is None else tf.reshape(total, shape)


def _unit_jets(cut: Cut) -> list[Jet]:
    return cut.start(tf.eye(cut.width, dtype=cut.tensor.dtype))


def _narrow_entry(recorded: RecordedModel) -> tuple[Cut, tf.Tensor] | None:
    """The linear beginning of a model and its jacobian `(d, width)`, if it has fewer rows."""
    d = recorded.f.inputs.width
    cut = recorded.entry()
    if cut is None or cut.width >= d or not cut.tensor.dtype.is_floating:
        return None  # a complex beginning has no real directions that span it
    mode = Collapsed(d)
    active = ActiveJets(recorded.start())
    propagate(cut.before, active, mode)
    jet = active.of(cut.tensor)
    if jet is None:
        return None
    base = mode.settle(jet).base
    if base.second is not None or not is_shared(base.first, cut.tensor):
        return None
    return cut, tf.reshape(base.first, [d, cut.width])


def _by_polarisation(recorded: RecordedModel, at_once: int) -> tf.Tensor:
    """`2 H_ij` is the curvature along `e_i + e_j` less that along `e_i` and along `e_j`."""
    d = recorded.f.inputs.width
    i, j = np.triu_indices(d)
    eye = np.eye(d)
    rows = tf.constant(np.where((i == j)[:, None], eye[i], eye[i] + eye[j]), recorded.z.dtype)

    def part(some: tf.Tensor) -> tf.Tensor:
        mode = PerDirection(some.shape[0])
        return recorded.push(recorded.start(some[:, None]), mode)[1]

    along = tf.concat([part(some) for some in _chunks(rows, at_once)], axis=0)
    single = tf.gather(along, np.flatnonzero(i == j))
    both = (along - tf.gather(single, i) - tf.gather(single, j)) / 2
    upper = tf.where((i == j)[:, None, None], along, both)
    place = np.zeros((d, d), int)
    place[i, j] = place[j, i] = np.arange(len(i))
    return tf.transpose(tf.gather(upper, place), [2, 3, 0, 1])


def _axes_in_chunks(recorded: RecordedModel, at_once: int) -> list[list[Jet]]:
    if recorded.f.inputs.width <= at_once:
        return [recorded.start()]
    return [recorded.start(some[:, None]) for some in _chunks(recorded.axes(), at_once)]


def _chunks(rows: tf.Tensor, at_once: int) -> list[tf.Tensor]:
    return [rows[start : start + at_once] for start in range(0, rows.shape[0], at_once)]


def _summed(part: Callable[[tf.Tensor], tf.Tensor], rows: tf.Tensor, at_once: int) -> tf.Tensor:
    """The sum of `part` over chunks of `rows`, one after the other."""
    count = rows.shape[0]
    if count <= at_once:
        return part(rows)
    whole = count - count % at_once
    blocks = tf.reshape(rows[:whole], [-1, at_once, rows.shape[1]])

    def add(total: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
        return total + part(tf.ensure_shape(block, blocks.shape[1:]))

    total = tf.foldl(add, blocks[1:], part(blocks[0]), parallel_iterations=1)
    return total if whole == count else total + part(rows[whole:])
