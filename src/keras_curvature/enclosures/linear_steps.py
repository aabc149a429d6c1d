"""What a linear op does, found by having it run: numbers that it moves, or a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from keras_curvature.enclosures import affine
from keras_curvature.enclosures.affine import Affine
from keras_curvature.enclosures.interval import Interval
from keras_curvature.enclosures.jet import JetBounds, Pairs, linear, moved
from keras_curvature.enclosures.linear_map import Matrix, Moved, matrix
from keras_curvature.enclosures.taylor_model import TaylorModel
from keras_curvature.enclosures.transposed import of_step
from keras_curvature.enclosures.use import Apply, Use, is_condition
from keras_curvature.engines.api import xp
from keras_curvature.typing import Array

LARGEST = 2**24
"""Entries of a matrix: 128 MiB in float64."""


def linear_step(use: Use) -> Apply:
    """A linear op.

    Raises:
        NotImplementedError: where it is none, or too large.
    """
    shapes = [tuple(use.step.inputs[i].shape) for i in use.active]
    sizes = [math.prod(shape) for shape in shapes]
    outputs = [tuple(y.shape) for y in use.step.outputs]
    map_ = _map_of(use, shapes, sizes)
    on_value = map_.value if isinstance(map_, Moved) else map_
    change_form = map_.change_form if isinstance(map_, Moved) else map_.form
    ends = np.cumsum([math.prod(shape) for shape in outputs])

    def apply(jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        found = linear(on_value, map_, _joined(jets, sizes), map_.form, change_form)
        return [_part(found, *where) for where in zip([0, *ends[:-1]], ends, outputs, strict=True)]

    return of_step(apply, map_, sizes, [math.prod(shape) for shape in outputs])


def _part(found: JetBounds, start: int, end: int, shape: tuple[int, ...]) -> JetBounds:
    """One result among all."""
    return moved(lambda x, lead: x[..., start:end].reshape(*x.shape[:-1], *shape), found)


def _joined(jets: Sequence[JetBounds], sizes: Sequence[int]) -> JetBounds:
    """All entries of all inputs along one axis."""

    def side_by_side(parts: Sequence[Interval | None], lead: int) -> Interval | None:
        known = [part for part in parts if part is not None]
        if not known:
            return None
        front = np.broadcast_shapes(*(part.shape[:lead] for part in known))
        flat: list[Interval] = []
        for part, size in zip(parts, sizes, strict=True):
            if part is None:
                zero = np.zeros((*front, size))
                flat.append(Interval(zero, zero))
            else:
                count = -1 if len(parts) == 1 else size
                flat.append(part.map(lambda x, n=count: x.reshape(*x.shape[:lead], n)))  # type: ignore[misc]
        if len(flat) == 1:
            return flat[0]
        like = next((x for x in flat if isinstance(x, TaylorModel)), None)
        if like is not None:
            return like.side_by_side(flat, front)

        def join(bounds: Sequence[Array]) -> Array:
            whole = [np.broadcast_to(b, (*front, b.shape[-1])) for b in bounds]
            return np.concatenate(whole, axis=-1)

        return Interval(join([x.lower for x in flat]), join([x.upper for x in flat]))

    value = side_by_side([j.value for j in jets], 1)
    assert value is not None
    return JetBounds(
        value,
        side_by_side([j.slope for j in jets], 2),
        side_by_side([j.bend for j in jets], 2),
        _forms_joined([j.form for j in jets], sizes),
        _forms_joined([j.slope_form for j in jets], sizes),
        _forms_joined([j.bend_form for j in jets], sizes),
    )


def _forms_joined(forms: Sequence[Affine | None], sizes: Sequence[int]) -> Affine | None:
    flat = [
        form.moved(lambda x, lead: x.reshape(*x.shape[:lead], -1))
        for form in forms
        if form is not None
    ]
    return affine.side_by_side(flat, sizes) if len(flat) == len(forms) else None


def _map_of(use: Use, shapes: Sequence[tuple[int, ...]], sizes: Sequence[int]) -> Matrix | Moved:
    total = sum(sizes)
    tensors = [use.step.inputs[i] for i in use.active] + list(use.step.outputs)
    if not all(xp.is_floating(x.dtype) or is_condition(x.dtype) for x in tensors):
        raise NotImplementedError("makes whole numbers of what depends on the input, or takes them")
    conditions = {is_condition(x.dtype) for x in tensors}
    if len(conditions) > 1:
        raise NotImplementedError("makes a number of a condition, or the other way round")

    def run(flat: Array) -> Array:
        return use.run(*np.split(flat, np.cumsum(sizes)[:-1]))

    if conditions == {True}:
        return _move_of_conditions(run, total)
    rng = np.random.default_rng(0)
    one, other = (rng.permutation(rng.uniform(1, 2, total)) for _ in range(2))
    found, again = run(one), run(other)
    order = np.argsort(one)
    place = order[np.minimum(np.searchsorted(one, found, sorter=order), total - 1)]
    moves = (one[place] == found) & (other[place] == again)
    if (moves | (found == again)).all():
        return Moved(np.where(moves, place, -1), np.where(moves, 0.0, found))
    if run(np.zeros(total)).any():
        raise NotImplementedError("adds a constant")
    if total * len(found) > LARGEST:
        raise NotImplementedError(f"is a matrix of {total} x {len(found)} entries")
    weights = np.stack([run(row) for row in np.eye(total)])
    return matrix(weights)


def _move_of_conditions(run: Callable[[Array], Array], total: int) -> Moved:
    """Where conditions go, which is told by the digits of the places that they come from."""
    digits = range(max(1, math.ceil(math.log2(total))) if total else 0)
    numbers = np.arange(total)
    yes = [run((numbers >> k & 1).astype(float)) for k in digits]
    no = [run(1.0 - (numbers >> k & 1)) for k in digits]
    if not digits or any(((a + b) != 1).any() for a, b in zip(yes, no, strict=True)):
        raise NotImplementedError("makes something else of conditions")
    place = sum((a.astype(int) << k for k, a in enumerate(yes)), np.zeros(len(yes[0]), int))
    if place.size and place.max() >= total:
        raise NotImplementedError("makes something else of conditions")
    drawn = np.random.default_rng(0).integers(0, 2, total).astype(float)
    if (run(drawn) != drawn[place]).any():
        raise NotImplementedError("makes something else of conditions")
    return Moved(place, np.zeros(len(place)))
