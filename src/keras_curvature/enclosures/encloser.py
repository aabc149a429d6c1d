"""A model traced once, ready to be enclosed over any number of boxes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_curvature.enclosures import adjoint_rests, affine
from keras_curvature.enclosures.affine import Affine
from keras_curvature.enclosures.backward_bounds import value_bounds
from keras_curvature.enclosures.interval import Interval, point
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.plan import Bounds, Plan, planned
from keras_curvature.enclosures.planes import Planes, planes_of
from keras_curvature.enclosures.program import Program, read
from keras_curvature.enclosures.taylor_model import TaylorModel, box_model, terms_over
from keras_curvature.engines.api import BoundModel, Layout, Options, bind, layer_names
from keras_curvature.engines.backend import computed_steps, computing_in
from keras_curvature.engines.quantities import VALUE
from keras_curvature.typing import Array, Model, Structure

AT_ONCE = 2**18
"""Numbers of one tensor and its derivatives over a chunk of boxes: 2 MiB, which caches hold."""

KEPT = 32
"""As many times that may be kept of all ops, on the way to the results."""

FEW = 16
"""Inputs up to which affine forms of values are carried: they cost as much as so many slopes."""

DEEP = 64
"""Slopes of derivatives up to which these have affine forms too."""


@dataclass(frozen=True, eq=False)
class Encloser:
    """A model as a function of a vector `(d,)` to a vector `(m,)`, bounded over boxes.

    It holds what it needs of the weights, as they were when it was made, in float64, and shares
    nothing that changes: several threads may call it at once.

    Attributes:
        program: what it does.
        inputs: how the inputs lie in the vector.
        outputs: how the outputs do.
        widest: numbers in its largest tensor.
        is_smooth: whether Taylor models go through all of it.
    """

    program: Program
    inputs: Layout
    outputs: Layout
    widest: int
    is_smooth: bool = False

    def __call__(
        self,
        low: Array,
        high: Array,
        names: Sequence[str],
        v: Array | None = None,
        planes: list[Planes] | None = None,
    ) -> dict[str, Bounds]:
        """Bounds over boxes.

        Args:
            low: the lower ends, `(boxes, d)`.
            high: the upper ones.
            names: quantities of the engines, see `keras_curvature.engines.quantities`.
            v: the direction, `(d,)` or `(boxes, d)`.
            planes: takes those of the boxes, in their order, of the only name: a partial
                derivative of a single output. Where no Taylor models go there are none.

        Returns:
            For each name the lower and the upper bounds, flat: `(boxes, m)`, of a jacobian and a
            Hessian's diagonal `(boxes, m, d)`, of a Hessian `(boxes, m, d, d)`.
        """
        if VALUE not in names:
            return self._forwards(low, high, names, v, planes)
        near = {VALUE: value_bounds(self.program, self.inputs, low, high, FEW, self.widest)}
        if set(names) == {VALUE} and self.program.is_reversible:
            return near  # nothing that is carried forwards says much more
        found = self._forwards(low, high, names, v)
        return found | _within(found, near)

    def _forwards(
        self,
        low: Array,
        high: Array,
        names: Sequence[str],
        v: Array | None,
        planes: list[Planes] | None = None,
    ) -> dict[str, Bounds]:
        """Bounds that are carried from the inputs to the results."""
        terms = terms_over(low, high) if self.is_smooth else 0
        if not terms:
            return self._bounds(low, high, names, v, forms=True)
        far = self._bounds(low, high, names, v)
        found = _within(far, self._bounds(low, high, names, v, terms, planes=planes))
        rows = _hardly_narrower(found, far)
        if rows.any():  # over wide boxes affine forms may say more than Taylor models
            along = v if v is None or v.ndim == 1 else v[rows]
            again = self._bounds(low[rows], high[rows], names, along, forms=True)
            some = {name: (a[rows], b[rows]) for name, (a, b) in found.items()}
            for name, ends in _within(some, again).items():
                for whole, part in zip(found[name], ends, strict=True):
                    whole[rows] = part
        return found

    def _bounds(
        self,
        low: Array,
        high: Array,
        names: Sequence[str],
        v: Array | None,
        terms: int = 0,
        *,
        forms: bool = False,
        planes: list[Planes] | None = None,
    ) -> dict[str, Bounds]:
        """By intervals, with affine forms if asked for, or by Taylor models of so many terms."""
        plan = planned(names, self.inputs.width)
        each = self.widest * max(1, plan.count + len(plan.pairs.first)) * max(1, terms)
        each *= 1 + self.inputs.width if forms and self.inputs.width <= FEW else 1
        if terms:  # what adjoints need of each op
            own = 3 * self.widest * (1 + plan.count + len(plan.pairs.first))
            each = max(each, own * len(self.program.instructions) // KEPT)
        size = max(1, AT_ONCE // each)
        found: dict[str, list[Bounds]] = {name: [] for name in names}
        for start in range(0, len(low), size):
            part = slice(start, start + size)
            along = v if v is None or v.ndim == 1 else v[part]
            results = self._chunk(low[part], high[part], plan, along, terms, forms)
            if planes is not None:
                planes.append(_planes(results, plan, low[part], high[part]))
            flat = _flat(results, self.outputs, len(low[part]), plan)
            for name, bounds in plan.collected(flat, self.inputs.width).items():
                found[name].append(bounds)
        return {
            name: (np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts]))
            for name, parts in found.items()
        }

    def _chunk(
        self, low: Array, high: Array, plan: Plan, v: Array | None, terms: int, forms: bool
    ) -> Sequence[JetBounds]:
        model = box_model(low, high) if terms else None
        d = self.inputs.width
        rows = np.eye(d)[plan.directions][None]
        if plan.along_v:
            assert v is not None
            given = np.atleast_2d(v)[:, None]
            lead = np.broadcast_to(rows, (len(given), *rows.shape[1:]))
            rows = np.concatenate([lead, given], axis=1)
        sources = []
        radius = (high / 2 - low / 2) * (1 + affine.SLACK)
        ends = np.cumsum(self.inputs.sizes)
        for shape, start, end in zip(self.inputs.shapes, [0, *ends[:-1]], ends, strict=True):
            box: Interval = Interval(low, high) if model is None else model
            value = box[:, start:end].map(_as_examples(shape))
            slope = rows[..., start:end].reshape(*rows.shape[:2], 1, *shape)
            source = JetBounds(value, point(slope) if rows.shape[1] else None)
            if d <= FEW and forms:
                unit = np.eye(d)[:, start:end].reshape(1, d, 1, *shape)
                form = affine.of_box(value.lower, value.upper, unit, radius)
                deep = None
                if source.slope is not None and d * (plan.count + len(plan.pairs.first)) <= DEEP:
                    level = np.zeros((1, d, *slope.shape[1:]))
                    deep = Affine(slope, level, np.zeros_like(slope), radius, 2)
                source = JetBounds(value, source.slope, None, form, deep)
            sources.append(source)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if model is not None:
                return adjoint_rests.run(self.program, sources, plan.pairs, plan.asked(d))
            return self.program.run(sources, plan.pairs)


NARROW = 0.3
"""Share of an interval's width from which on a Taylor model's is narrow."""


def _within(one: dict[str, Bounds], other: dict[str, Bounds]) -> dict[str, Bounds]:
    """What is in the bounds of both."""
    return {
        name: (np.maximum(one[name][0], a), np.minimum(one[name][1], b))
        for name, (a, b) in other.items()
    }


def _hardly_narrower(found: dict[str, Bounds], far: dict[str, Bounds]) -> NDArray[np.bool_]:
    """The boxes of which something is hardly narrower than by intervals, `(boxes,)`."""
    rows = []
    with np.errstate(invalid="ignore"):
        for name, (lower, upper) in found.items():
            wide = ~(upper - lower <= NARROW * (far[name][1] - far[name][0]))
            rows.append(wide.reshape(len(wide), -1).any(axis=1))
    return np.logical_or.reduce(rows)


def _planes(found: Sequence[JetBounds], plan: Plan, low: Array, high: Array) -> Planes:
    """Of the highest derivative that was carried of a single number."""
    (only,) = found
    derivative = only.bend if len(plan.pairs.first) else only.slope
    if derivative is None:  # 0 everywhere
        return Planes(np.zeros_like(low), np.zeros(len(low)), np.zeros(len(low)))
    assert isinstance(derivative, TaylorModel)
    return planes_of(derivative, low, high)


def _flat(
    found: Sequence[JetBounds], outputs: Layout, boxes: int, plan: Plan
) -> tuple[Interval, Interval, Interval]:
    """The outputs side by side, with what is 0 written out."""

    def joined(parts: Sequence[Interval | None], *lead: int) -> Interval:
        ends = []
        for side in ("lower", "upper"):
            columns = []
            for part, size in zip(parts, outputs.sizes, strict=True):
                x = np.zeros(1) if part is None else getattr(part, side)
                x = x if part is None else x.reshape(*x.shape[: len(lead)], size)
                columns.append(np.broadcast_to(x, (*lead, size)))
            ends.append(np.concatenate(columns, axis=-1))
        return Interval(*ends)

    return (
        joined([j.value for j in found], boxes),
        joined([j.slope for j in found], boxes, plan.count),
        joined([j.bend for j in found], boxes, len(plan.pairs.first)),
    )


def encloser_of(model: Model, bound: BoundModel) -> Encloser:
    """A model that was bound to an example in float64.

    Raises:
        ValueError: for an op without a rule.
    """
    f = bound.f
    if f.batch is not None and f.batch > 1:
        raise ValueError(
            "Bounds are those of one example by itself. Received: a model that takes "
            f"{f.batch} examples at a time. Build it without `batch_size`, or without a state."
        )
    with computing_in(f.dtype):
        z, rest = f.point([leaf[:1] for leaf in bound.inputs.leaves])
        computed = computed_steps(f, z, rest, layer_names(model))
        program = read(computed, {place.op_name for place in f.activity.by_hand})
    sizes = [
        math.prod(y.shape) for step in computed.steps for y in step.outputs if hasattr(y, "shape")
    ]
    found = Encloser(program, f.inputs, f.outputs, max([f.inputs.width, *sizes]))
    return dataclasses.replace(found, is_smooth=_is_smooth(program, f.inputs))


def _as_examples(shape: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda x: x.reshape(-1, 1, *shape)


def _is_smooth(program: Program, inputs: Layout) -> bool:
    """Whether Taylor models go through all of it, as they do through a box of its inputs."""
    d = inputs.width
    unit = np.zeros((1, d)), np.zeros((1, d))
    unit[1][0, 0] = 1.0
    model = box_model(*unit)
    if model is None:
        return False
    ends = np.cumsum(inputs.sizes)
    given = [
        JetBounds(model[:, start:end].map(_as_examples(shape)))
        for shape, start, end in zip(inputs.shapes, [0, *ends[:-1]], ends, strict=True)
    ]
    nothing = np.zeros(0, int)
    return all(y.value.has_terms for y in program.run(given, Pairs(nothing, nothing)))


def encloser(model: Model, example: Structure, options: Options) -> Encloser:
    """A model, as it is called on an example: the lower end of a box."""
    return encloser_of(model, bind(model, example, options))
