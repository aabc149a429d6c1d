"""From Taylor propagation to the named derivatives of a flat function."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from keras_curvature.engines.activity import Place
from keras_curvature.engines.engine import Engine
from keras_curvature.engines.jax.first_derivatives import value_and_jacobian
from keras_curvature.engines.jax.flat_function import FlatFunction
from keras_curvature.engines.jax.nested import Nested
from keras_curvature.engines.jax.taylor import rules  # noqa: F401, fills the registry
from keras_curvature.engines.jax.taylor.gram_factor import spanning_rows
from keras_curvature.engines.jax.taylor.propagation import propagate
from keras_curvature.engines.jax.taylor.recorded_model import RecordedModel, record
from keras_curvature.engines.jax.taylor.structure import (
    Cut,
    active_instructions,
    first_mixing,
    linear_entry,
)
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
from keras_curvature.engines.taylor.jets import is_shared
from keras_curvature.engines.taylor.modes import (
    Adjoint,
    Collapsed,
    Gradients,
    PerDirection,
    UnsuitedError,
)
from keras_curvature.engines.taylor.registry import lookup

NESTED = Nested()

ADJOINTS = 16
"""Outputs up to which a reverse pass for each is taken."""


@dataclass(frozen=True)  # equal to itself in a key
class Taylor(Engine[FlatFunction]):
    """Second-order Taylor propagation."""

    name = "taylor"
    why = "exact, by second-order Taylor propagation"
    repeats_examples = False

    def products(
        self, f: FlatFunction, rows: Any, others: Sequence[Any], seeds: Any, directions: Any
    ) -> Any:
        """By forward over reverse, the cheapest way to all entries of one product."""
        return NESTED.products(f, rows, others, seeds, directions)

    def hessian_rows(self, f: FlatFunction, z: Any, rest: Sequence[Any], directions: Any) -> Any:
        """The same for all outputs."""
        return NESTED.hessian_rows(f, z, rest, directions)

    def compute(
        self,
        f: FlatFunction,
        z: Any,
        rest: Sequence[Any],
        v: Any,
        names: Collection[str],
        directions_at_once: int,
    ) -> dict[str, Any]:
        """Named derivatives; `names` decides how the second order is carried."""
        recorded = record(f, z, rest)
        results = {VALUE: recorded.value}
        if JACOBIAN in names:
            _, results[JACOBIAN] = value_and_jacobian(f, z, rest)
        if HESSIAN in names:
            results[HESSIAN] = hessian(recorded, directions_at_once)
            results[DIAGONAL] = jnp.diagonal(results[HESSIAN], axis1=-2, axis2=-1)
            results[LAPLACIAN] = jnp.sum(results[DIAGONAL], axis=-1)
        elif DIAGONAL in names:
            results[DIAGONAL] = hessian_diagonal(recorded, directions_at_once)
            results[LAPLACIAN] = jnp.sum(results[DIAGONAL], axis=-1)
        elif LAPLACIAN in names:
            results[LAPLACIAN] = laplacian(recorded, directions_at_once)
        if PRODUCT in names:
            assert v is not None, "checked by the caller"
            results[PRODUCT] = self.hessian_rows(f, z, rest, v[None])[:, :, 0]
            results[DIRECTIONAL] = jnp.sum(results[PRODUCT] * v[:, None], axis=-1)
        elif DIRECTIONAL in names:
            assert v is not None, "checked by the caller"
            results[DIRECTIONAL] = recorded.push(recorded.start(v[None]), PerDirection(1))[1][0]
        return {name: results[name] for name in names}

    def trace(self, f: FlatFunction, z: Any, rest: Sequence[Any], directions: Any) -> Any:
        """The mean of `vᵀHv`, of the second order summed over the directions."""
        recorded = record(f, z, rest)
        return _trace(recorded, recorded.start(directions)) / directions.shape[0]

    def along(
        self, f: FlatFunction, z: Any, rest: Sequence[Any], directions: Any
    ) -> dict[str, Any]:
        """Slope and curvature along each direction, both carried."""
        recorded = record(f, z, rest)
        mode = PerDirection(directions.shape[0])
        slopes, curvatures = recorded.push(recorded.start(directions), mode)
        return {
            VALUE: recorded.value,
            SLOPE: jnp.transpose(slopes, (1, 2, 0)),
            CURVATURE: jnp.transpose(curvatures, (1, 2, 0)),
        }

    def directions(self, f: FlatFunction, names: Collection[str]) -> int:
        """As many as the narrowest result of a linear beginning is wide."""
        if not ALONG_AXES & set(names):
            return 1
        instructions, sources, traced = _way(f)
        entry = linear_entry(instructions, sources, traced.outputs, traced.program)
        d = f.inputs.width
        return d if entry is None else min(d, entry.width)


def _way(f: FlatFunction) -> Any:
    traced = f.traced_for(SOME)
    sources = f.sources(traced)
    needed = traced.program.needed(traced.outputs, [*sources])
    return active_instructions(needed, sources, traced.program), sources, traced


SOME = 7
"""How many examples a program is looked at with."""


def laplacian(recorded: RecordedModel, at_once: int) -> Any:
    """The Laplacian, `(n, m)`, of the second order summed over the directions."""
    entry = _narrow_entry(recorded)
    if entry is None:
        if recorded.f.inputs.width <= at_once:
            return _trace(recorded, recorded.start())
        return _summed(
            lambda some: _trace(recorded, recorded.start(some[:, None])), recorded.axes(), at_once
        )
    cut, jacobian = entry
    value = recorded.values[cut.slot]
    rows = spanning_rows(jacobian)
    return _summed(lambda some: _trace(recorded, cut.start(value, some), cut), rows, at_once)


def _trace(recorded: RecordedModel, jets: Mapping[Any, Any], cut: Cut | None = None) -> Any:
    mode = Collapsed(_count(jets))
    return recorded.push(jets, mode, None if cut is None else cut.after)[1][0]


def _count(jets: Mapping[Any, Any]) -> int:
    return int(next(iter(jets.values())).base.first.shape[0])


def hessian_diagonal(recorded: RecordedModel, at_once: int) -> Any:
    """The Hessian's diagonal, `(n, m, d)`."""
    gradients = _gradients(recorded)
    if gradients is not None:
        try:
            return _diagonal_by_adjoint(recorded, gradients, at_once)
        except UnsuitedError:
            pass
    parts = [
        recorded.push(jets, PerDirection(_count(jets)))[1]
        for jets in _axes_in_chunks(recorded, at_once)
    ]
    return jnp.transpose(jnp.concatenate(parts, axis=0), (1, 2, 0))


def hessian(recorded: RecordedModel, at_once: int) -> Any:
    """The Hessian, `(n, m, d, d)`."""
    gradients = _gradients(recorded)
    if gradients is not None:
        try:
            return _hessian_by_adjoint(recorded, gradients)
        except UnsuitedError:
            pass
    return _by_polarisation(recorded, at_once)


def _gradients(recorded: RecordedModel) -> Gradients | None:
    """The outputs' gradients, where each operation's part in a Hessian can be told by example."""
    f = recorded.f
    if f.outputs.width > ADJOINTS or first_mixing(recorded.active, recorded.sources) is not None:
        return None
    return recorded.gradients()


def why_no_adjoint(f: FlatFunction) -> str:
    """Why tangents and one reverse pass per output do not give all second derivatives, or `""`."""
    if f.outputs.width > ADJOINTS:
        return f"of more than {ADJOINTS} outputs"
    instructions, sources, _ = _way(f)
    mixing = first_mixing(instructions, sources)
    if mixing is None:
        return ""
    places = {place.op_name: place for place in f.activity.active}
    return f"through {places.get(mixing.name, Place(mixing.type, mixing.name, ''))}"


def fallbacks(f: FlatFunction) -> tuple[Place, ...]:
    """Primitives without a rule, which JAX is asked about."""
    return tuple(place for place in f.activity.active if lookup(place.op_type) is None)


def unsuited(f: FlatFunction) -> tuple[Place, ...]:
    """Nothing: JAX itself is asked about whatever has no rule."""
    return ()


def _diagonal_by_adjoint(recorded: RecordedModel, gradients: Gradients, at_once: int) -> Any:
    entry = _narrow_entry(recorded)
    if entry is not None:
        cut, jacobian = entry
        inner = _contracted(recorded, gradients, _unit_jets(recorded, cut), pairs, cut)
        half = jnp.einsum("iw,nmwv->nmiv", jacobian, inner)
        return jnp.sum(half * jacobian, axis=-1)
    parts = [
        _contracted(recorded, gradients, jets, diagonal)
        for jets in _axes_in_chunks(recorded, at_once)
    ]
    return jnp.concatenate(parts, axis=2)


def _hessian_by_adjoint(recorded: RecordedModel, gradients: Gradients) -> Any:
    entry = _narrow_entry(recorded)
    if entry is not None:
        cut, jacobian = entry
        inner = _contracted(recorded, gradients, _unit_jets(recorded, cut), pairs, cut)
        half = jnp.einsum("iw,nmwv->nmiv", jacobian, inner)
        return jnp.einsum("nmiv,jv->nmij", half, jacobian)
    return _contracted(recorded, gradients, recorded.start(), pairs)


def _contracted(
    recorded: RecordedModel,
    gradients: Gradients,
    jets: Mapping[Any, Any],
    contraction: Callable[[Any, Any, Any], Any],
    cut: Cut | None = None,
) -> Any:
    """The sum of what all operations add, in the shape that `contraction` gives."""
    k = _count(jets)
    mode = Adjoint(k, gradients, contraction)
    recorded.push(jets, mode, None if cut is None else cut.after)
    axes = (k, k) if contraction is pairs else (k,)
    shape = (recorded.z.shape[0], recorded.f.outputs.width, *axes)
    total = mode.total()
    return jnp.zeros(shape, recorded.z.dtype) if total is None else jnp.reshape(total, shape)


def _unit_jets(recorded: RecordedModel, cut: Cut) -> Mapping[Any, Any]:
    value = recorded.values[cut.slot]
    return cut.start(value, jnp.eye(cut.width, dtype=value.dtype))


def _narrow_entry(recorded: RecordedModel) -> tuple[Cut, Any] | None:
    """The linear beginning of a model and its jacobian `(d, width)`, if it has fewer rows."""
    d = recorded.f.inputs.width
    cut = recorded.entry()
    if cut is None or cut.width >= d:
        return None
    mode = Collapsed(d)
    active = dict(recorded.start())
    propagate(cut.before, recorded.values, active, mode, recorded.f.dtype)
    jet = active.get(cut.slot)
    if jet is None:
        return None
    base = mode.settle(jet).base
    if base.second is not None or not is_shared(base.first, recorded.values[cut.slot]):
        return None
    return cut, jnp.reshape(base.first, (d, cut.width))


def _by_polarisation(recorded: RecordedModel, at_once: int) -> Any:
    """`2 H_ij` is the curvature along `e_i + e_j` less that along `e_i` and along `e_j`."""
    d = recorded.f.inputs.width
    i, j = np.triu_indices(d)
    eye = np.eye(d)
    rows = jnp.asarray(np.where((i == j)[:, None], eye[i], eye[i] + eye[j]), recorded.z.dtype)

    def part(some: Any) -> Any:
        return recorded.push(recorded.start(some[:, None]), PerDirection(some.shape[0]))[1]

    along = jnp.concatenate([part(some) for some in _chunks(rows, at_once)], axis=0)
    single = along[np.flatnonzero(i == j)]
    both = (along - single[i] - single[j]) / 2
    upper = jnp.where((i == j)[:, None, None], along, both)
    place = np.zeros((d, d), int)
    place[i, j] = place[j, i] = np.arange(len(i))
    return jnp.transpose(upper[place], (2, 3, 0, 1))


def _axes_in_chunks(recorded: RecordedModel, at_once: int) -> list[Mapping[Any, Any]]:
    if recorded.f.inputs.width <= at_once:
        return [recorded.start()]
    return [recorded.start(some[:, None]) for some in _chunks(recorded.axes(), at_once)]


def _chunks(rows: Any, at_once: int) -> list[Any]:
    return [rows[start : start + at_once] for start in range(0, rows.shape[0], at_once)]


def _summed(part: Callable[[Any], Any], rows: Any, at_once: int) -> Any:
    """The sum of `part` over chunks of `rows`, one after the other."""
    count = rows.shape[0]
    if count <= at_once:
        return part(rows)
    whole = count - count % at_once
    blocks = jnp.reshape(rows[:whole], (-1, at_once, rows.shape[1]))
    total, _ = lax.scan(lambda sum_, block: (sum_ + part(block), None), part(blocks[0]), blocks[1:])
    return total if whole == count else total + part(rows[whole:])
