"""From Taylor propagation to the named derivatives of a flat function, on any backend."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from keras_curvature.engines import chunking
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.engine import Engine, F, first_derivatives
from keras_curvature.engines.quantities import (
    BIHARMONIC,
    CURVATURE,
    DIAGONAL,
    DIRECTIONAL,
    DIVERGENCE,
    HESSIAN,
    JACOBIAN,
    LAPLACIAN,
    PRODUCT,
    SLOPE,
    VALUE,
    partials_among,
)
from keras_curvature.engines.taylor.contractions import diagonal, pairs
from keras_curvature.engines.taylor.modes import (
    Adjoint,
    Collapsed,
    FirstOrder,
    Gradients,
    Mode,
    PerDirection,
    UnsuitedError,
)
from keras_curvature.engines.taylor.partial_derivatives import (
    biharmonic,
    estimated_biharmonic,
    partial_derivatives,
    slices_at_once,
)
from keras_curvature.typing import Tensor

ADJOINTS = 16
"""Outputs up to which the graph is written out with a reverse pass for each."""


class Entry(Protocol):
    """The narrowest tensor of a model's linear beginning.

    Attributes:
        width: how many numbers it has per example.
    """

    @property
    def width(self) -> int: ...  # noqa: D102


class Recorded(Protocol):
    """A model that has run on a batch `z`, `(n, d)`.

    Attributes:
        f: the model.
        z: the batch.
        value: the outputs laid flat, `(n, m)`.
    """

    @property
    def f(self) -> Any: ...  # noqa: D102

    @property
    def z(self) -> Tensor: ...  # noqa: D102

    @property
    def value(self) -> Tensor: ...  # noqa: D102

    def along(self, rows: Tensor | None, mode: Mode, entry: Any = None) -> tuple[Tensor, Tensor]:
        """First derivatives `(k, n, m)` of the outputs, and second ones `(k or 1, n, m)`.

        Args:
            rows: directions `(k, n or 1, d)`; `None` for all axes.
            mode: carries the second order.
            entry: where to begin instead, with `rows` `(k, width)` of its own.
        """

    def entry_and_jacobian(self) -> tuple[Any, Tensor] | None:
        """The linear beginning and its jacobian `(d, width)`, if it is narrower than the input."""

    def spanning_rows(self, jacobian: Tensor) -> Tensor:
        """Rows `(w, w)` along which a Laplacian is what it is along the rows of a jacobian."""

    def gradients(self) -> Gradients:
        """The gradients of the outputs by every tensor on the way."""


class TaylorEngine(Engine[F]):
    """Second-order Taylor propagation, of models that a backend records."""

    name = "taylor"
    why = "exact, by second-order Taylor propagation"
    repeats_examples = False

    @abstractmethod
    def record(self, f: F, z: Tensor, rest: Sequence[Tensor]) -> Recorded:
        """Runs a model and keeps what it did."""

    @abstractmethod
    def has_adjoint(self, f: F) -> bool:
        """Whether tangents and one reverse pass per output give all second derivatives."""

    def compute(
        self,
        f: F,
        z: Tensor,
        rest: Sequence[Tensor],
        v: Tensor | None,
        names: Collection[str],
        directions_at_once: int,
    ) -> dict[str, Tensor]:
        """Named derivatives; `names` decides how the second order is carried."""
        recorded = self.record(f, z, rest)
        results = {VALUE: recorded.value}
        if JACOBIAN in names:
            _, results[JACOBIAN] = first_derivatives.value_and_jacobian(f, z, rest)
        if HESSIAN in names:
            results[HESSIAN] = self._hessian(recorded, directions_at_once)
            results[DIAGONAL] = xp.diagonal(results[HESSIAN])
            results[LAPLACIAN] = xp.trace(results[HESSIAN])
        elif DIAGONAL in names:
            results[DIAGONAL] = self._diagonal(recorded, directions_at_once)
            results[LAPLACIAN] = xp.sum(results[DIAGONAL], axis=-1)
        elif LAPLACIAN in names:
            results[LAPLACIAN] = _laplacian(recorded, directions_at_once)
        if PRODUCT in names:
            assert v is not None, "checked by the caller"
            results[PRODUCT] = self.hessian_rows(f, z, rest, v[None])[:, :, 0]
            results[DIRECTIONAL] = xp.sum(results[PRODUCT] * v[:, None], axis=-1)
        elif DIRECTIONAL in names:
            assert v is not None, "checked by the caller"
            results[DIRECTIONAL] = recorded.along(v[None], PerDirection(1))[1][0]
        if BIHARMONIC in names:
            results[BIHARMONIC] = biharmonic(recorded, directions_at_once)
        if DIVERGENCE in names:
            results[DIVERGENCE] = self.divergence(f, z, rest)
        if partials := partials_among(names):
            found = partial_derivatives(recorded, set(partials.values()), directions_at_once)
            results |= {name: found[partial] for name, partial in partials.items()}
        return {name: results[name] for name in names}

    def plan(self, f: F, names: Collection[str]) -> tuple[int, int]:
        """Power series of higher orders have more than one tensor for each direction."""
        slices = max(self.directions(f, names), slices_at_once(names, f.inputs.width))
        return chunking.plan(f.rows_at_once(), 1, slices)

    def trace(self, f: F, z: Tensor, rest: Sequence[Tensor], directions: Tensor) -> Tensor:
        """The mean of `vᵀHv`, of the second order summed over the directions."""
        return _trace(self.record(f, z, rest), directions) / directions.shape[0]

    def bilinear(self, f: F, z: Tensor, rest: Sequence[Tensor], a: Tensor, b: Tensor) -> Tensor:
        """By polarisation, `4 aᵀHb` is `vᵀHv` along `a + b` less that along `a - b`."""
        recorded = self.record(f, z, rest)
        return (_trace(recorded, a + b) - _trace(recorded, a - b)) / 4

    def estimates(
        self, f: F, z: Tensor, rest: Sequence[Tensor], along: Mapping[str, Sequence[Tensor]]
    ) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """By the mean over directions.

        The same for all examples they go through a linear beginning once for the batch.
        """
        recorded = self.record(f, z, rest)
        return recorded.value, {
            name: [ESTIMATES[name](recorded, rows) for rows in parts]
            for name, parts in along.items()
        }

    def along(
        self, f: F, z: Tensor, rest: Sequence[Tensor], directions: Tensor
    ) -> dict[str, Tensor]:
        """Slope and curvature along each direction, both carried."""
        recorded = self.record(f, z, rest)
        slopes, curvatures = recorded.along(directions, PerDirection(directions.shape[0]))
        return {
            VALUE: recorded.value,
            SLOPE: xp.transpose(slopes, [1, 2, 0]),
            CURVATURE: xp.transpose(curvatures, [1, 2, 0]),
        }

    def _diagonal(self, recorded: Recorded, at_once: int) -> Tensor:
        """The Hessian's diagonal, `(n, m, d)`."""
        if self.has_adjoint(recorded.f):
            try:
                return _diagonal_by_adjoint(recorded, at_once)
            except UnsuitedError:
                pass
        parts = [
            recorded.along(rows, PerDirection(_count(recorded, rows)))[1]
            for rows in _axes_in_chunks(recorded, at_once)
        ]
        return xp.transpose(xp.concatenate(parts, axis=0), [1, 2, 0])

    def _hessian(self, recorded: Recorded, at_once: int) -> Tensor:
        """The Hessian, `(n, m, d, d)`."""
        if self.has_adjoint(recorded.f):
            try:
                return _hessian_by_adjoint(recorded)
            except UnsuitedError:
                pass
        return _by_polarisation(recorded, at_once)


def _laplacian(recorded: Recorded, at_once: int) -> Tensor:
    """The Laplacian, `(n, m)`, of the second order summed over the directions."""
    found = recorded.entry_and_jacobian()
    if found is not None:
        entry, jacobian = found
        rows = recorded.spanning_rows(jacobian)
        return _summed(lambda some: _trace(recorded, some, entry), rows, at_once)
    if recorded.f.inputs.width <= at_once:
        return _trace(recorded, None)
    axes = _axes(recorded)
    return _summed(lambda some: _trace(recorded, some[:, None]), axes, at_once)


def _trace(recorded: Recorded, rows: Tensor | None, entry: Entry | None = None) -> Tensor:
    return recorded.along(rows, Collapsed(_count(recorded, rows)), entry)[1][0]


def _estimated_laplacian(recorded: Recorded, rows: Tensor) -> Tensor:
    """The mean of `vᵀHv` over directions `(k, n or 1, d)`, shape `(n, m)`."""
    return _trace(recorded, rows) / rows.shape[0]


def _estimated_divergence(recorded: Recorded, rows: Tensor) -> Tensor:
    """The mean of `vᵀJv` over directions `(k, n or 1, d)`, shape `(n,)`."""
    slopes, _ = recorded.along(rows, FirstOrder(rows.shape[0]))
    return xp.mean(xp.sum(slopes * rows, axis=-1), axis=0)


ESTIMATES: dict[str, Callable[[Recorded, Tensor], Tensor]] = {
    LAPLACIAN: _estimated_laplacian,
    DIVERGENCE: _estimated_divergence,
    BIHARMONIC: estimated_biharmonic,
}


def _count(recorded: Recorded, rows: Tensor | None) -> int:
    return int(recorded.f.inputs.width if rows is None else rows.shape[0])


def _diagonal_by_adjoint(recorded: Recorded, at_once: int) -> Tensor:
    gradients = recorded.gradients()
    half, jacobian = _half_by_entry(recorded, gradients)
    if half is not None:
        return xp.sum(half * jacobian, axis=-1)
    parts = [
        _contracted(recorded, gradients, rows, diagonal)
        for rows in _axes_in_chunks(recorded, at_once)
    ]
    return xp.concatenate(parts, axis=2)


def _hessian_by_adjoint(recorded: Recorded) -> Tensor:
    gradients = recorded.gradients()
    half, jacobian = _half_by_entry(recorded, gradients)
    if half is not None:
        return xp.einsum("nmiv,jv->nmij", half, jacobian)
    return _contracted(recorded, gradients, None, pairs)


def _half_by_entry(recorded: Recorded, gradients: Gradients) -> tuple[Tensor | None, Tensor | None]:
    """`J H` of a narrow linear beginning with jacobian `J`, and `J`; `None` where there is none."""
    found = recorded.entry_and_jacobian()
    if found is None:
        return None, None
    entry, jacobian = found
    rows = xp.eye(entry.width, dtype=jacobian.dtype)
    inner = _contracted(recorded, gradients, rows, pairs, entry)
    return xp.einsum("iw,nmwv->nmiv", jacobian, inner), jacobian


def _contracted(
    recorded: Recorded,
    gradients: Gradients,
    rows: Tensor | None,
    contraction: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    entry: Entry | None = None,
) -> Tensor:
    """The sum of what all ops add, in the shape that `contraction` gives."""
    k = _count(recorded, rows)
    mode = Adjoint(k, gradients, contraction)
    recorded.along(rows, mode, entry)
    axes = [k, k] if contraction is pairs else [k]
    shape = [xp.lengths(recorded.z)[0], recorded.f.outputs.width, *axes]
    total = mode.total()
    return xp.zeros(shape, recorded.z.dtype) if total is None else xp.reshape(total, shape)


def _by_polarisation(recorded: Recorded, at_once: int) -> Tensor:
    """`2 H_ij` is the curvature along `e_i + e_j` less that along `e_i` and along `e_j`."""
    d = recorded.f.inputs.width
    i, j = np.triu_indices(d)
    eye = np.eye(d)
    rows = xp.constant(np.where((i == j)[:, None], eye[i], eye[i] + eye[j]), recorded.z.dtype)
    parts = [
        recorded.along(some[:, None], PerDirection(some.shape[0]))[1]
        for some in _chunks(rows, at_once)
    ]
    along = xp.concatenate(parts, axis=0)
    single = xp.take(along, np.flatnonzero(i == j), axis=0)
    both = (along - xp.take(single, i, axis=0) - xp.take(single, j, axis=0)) / 2
    upper = xp.where((i == j)[:, None, None], along, both)
    place = np.zeros((d, d), int)
    place[i, j] = place[j, i] = np.arange(len(i))
    return xp.transpose(xp.take(upper, place, axis=0), [2, 3, 0, 1])


def _axes(recorded: Recorded) -> Tensor:
    """The unit vectors, `(d, d)`."""
    return xp.eye(recorded.f.inputs.width, dtype=recorded.z.dtype)


def _axes_in_chunks(recorded: Recorded, at_once: int) -> list[Tensor | None]:
    if recorded.f.inputs.width <= at_once:
        return [None]
    return [some[:, None] for some in _chunks(_axes(recorded), at_once)]


def _chunks(rows: Tensor, at_once: int) -> list[Tensor]:
    return [rows[start : start + at_once] for start in range(0, rows.shape[0], at_once)]


def _summed(part: Callable[[Tensor], Tensor], rows: Tensor, at_once: int) -> Tensor:
    """The sum of `part` over chunks of `rows`, one after the other."""
    count = rows.shape[0]
    if count <= at_once:
        return part(rows)
    whole = count - count % at_once
    blocks = xp.reshape(rows[:whole], [-1, at_once, rows.shape[1]])
    total = xp.sum_of(part, blocks)
    return total if whole == count else total + part(rows[whole:])
