"""What a named derivative is as a combination of derivatives along lines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keras_curvature.engines import quantities
from keras_curvature.typing import Array
from keras_curvature.verification.lengths import SHORTER
from keras_curvature.verification.line_derivatives import IN_DOUBT, Estimate
from keras_curvature.verification.sample import SHORTER_LINE, Sample, noise
from keras_curvature.verification.truth import FLOOR, LEVEL, Along, Truth, scale_of

Partial = tuple[int, ...]
Quantity = str | Partial
"""A name of `keras_curvature.derivatives`, or the inputs of a partial derivative."""

MOST_INPUTS = 16
"""Beyond so many a biharmonic takes too many lines."""


@dataclass(frozen=True, eq=False)
class Form:
    """A quantity at each example: weighted derivatives along lines.

    Attributes:
        order: of the derivative.
        lines: `(n, lines, d)`.
        weights: `(places, lines)`: of each line at each place of an example.
        contracted: `(n, k, ...)`, a claim of the outputs that are looked at, to the same places,
            `(n, k, places)`.
        summed: whether terms of any sign are summed, which may cancel.
        inputs: at which place which input is looked at, if they differ.
    """

    order: int
    lines: Array
    weights: Array
    contracted: Callable[[Array], Array]
    summed: bool = False
    inputs: tuple[int, ...] = ()


def input_axes(quantity: Quantity) -> int:
    """How often the input's axes are in a quantity."""
    return {
        quantities.JACOBIAN: 1,
        quantities.PRODUCT: 1,
        quantities.DIAGONAL: 1,
        quantities.HESSIAN: 2,
    }.get(str(quantity), 0)


def form_of(quantity: Quantity, s: Sample) -> Form | str:
    """A quantity as lines, or why there is none."""
    u, v, spread, d = s.lines.u, s.lines.v, s.spread, s.x.shape[1]
    axes = s.lines.axes
    one = np.ones((1, 1))
    if quantity == quantities.JACOBIAN:
        return Form(1, v[:, None], one, lambda a: np.einsum("nki,ni->nk", a, v)[..., None])
    if quantity == quantities.DIRECTIONAL:
        return Form(2, v[:, None], one, lambda a: a[..., None])
    pair, halves = np.stack([u + v, u - v], axis=1), np.array([[0.25, -0.25]])
    if quantity == quantities.HESSIAN:
        return Form(2, pair, halves, lambda a: np.einsum("nkij,ni,nj->nk", a, u, v)[..., None])
    if quantity == quantities.PRODUCT:
        return Form(2, pair, halves, lambda a: np.einsum("nki,ni->nk", a, u)[..., None])
    if quantity == quantities.DIAGONAL:
        return Form(
            2,
            _axes(s, axes),
            np.eye(len(axes)),
            lambda a: a[:, :, axes] * spread[axes] ** 2,
            inputs=tuple(map(int, axes)),
        )
    if isinstance(quantity, tuple):
        return _partial(quantity, s)
    if quantity == quantities.BIHARMONIC:
        return _biharmonic(s) if d <= MOST_INPUTS else _too_many(MOST_INPUTS)
    if len(axes) < d:
        return _too_many(len(axes))
    if quantity == quantities.DIVERGENCE:
        # Of each output along its own input alone: `truth_of` takes those.
        return Form(1, _axes(s, axes), 1 / spread[None], lambda a: a, summed=True)
    return Form(2, _axes(s, axes), 1 / spread[None] ** 2, lambda a: a[..., None], summed=True)


def _too_many(most: int) -> str:
    return f"differences along more than {most} inputs cost too much"


def _axes(s: Sample, axes: NDArray[np.integer]) -> Array:
    lines = (np.eye(s.x.shape[1]) * s.spread)[axes]
    return np.ascontiguousarray(np.broadcast_to(lines, (s.count, *lines.shape)))


def _partial(inputs: Sequence[int], s: Sample) -> Form:
    """A partial derivative by polarisation: of sums and differences of the axes."""
    order, d = len(inputs), s.x.shape[1]
    found: dict[tuple[int, ...], float] = {}
    for signs in itertools.product((1, -1), repeat=order - 1):
        line = np.zeros(d, int)
        for sign, i in zip((1, *signs), inputs, strict=True):
            line[i] += sign
        # Along the other way round it is the same, but for the sign of an odd order.
        first = line[line != 0][:1].tolist()
        turned = -1 if first and first[0] < 0 else 1
        weight = math.prod(signs) * float(turned) ** order
        step = int(np.gcd.reduce(line)) or 1  # along twice the axis: the axis
        key = tuple(int(i) for i in turned * line // step)
        found[key] = found.get(key, 0.0) + weight * step**order
    scale = 2.0 ** (order - 1) * math.factorial(order)
    kept = {line: weight / scale for line, weight in found.items() if weight and any(line)}
    lines = np.array(list(kept), float) * s.spread
    lines = np.ascontiguousarray(np.broadcast_to(lines, (s.count, *lines.shape)))
    units = float(np.prod(s.spread[list(inputs)]))
    return Form(order, lines, np.array([list(kept.values())]), lambda a: a[..., None] * units)


def _biharmonic(s: Sample) -> Form:
    """The Laplacian of the Laplacian: ∂⁴/∂a²∂b² is of lines along a, b, a + b and a − b."""
    d, spread = s.x.shape[1], s.spread
    axes = np.eye(d) * spread
    pairs = list(itertools.combinations(range(d), 2))
    lines = [*axes, *(axes[i] + sign * axes[j] for i, j in pairs for sign in (1, -1))]
    weights = [1 / spread**4]
    for i, j in pairs:
        share = 2 / 12 / (spread[i] * spread[j]) ** 2
        weights[0][[i, j]] -= 2 * share
        weights.append(np.array([share, share]))
    rows = np.ascontiguousarray(np.broadcast_to(np.array(lines), (s.count, len(lines), d)))
    return Form(4, rows, np.concatenate(weights)[None], lambda a: a[..., None], summed=True)


def where_shorter_agree(
    quantity: Quantity, truth: Truth, form: Form, s: Sample, tolerance: float
) -> Truth:
    """The truth, in full doubt where differences over far shorter lengths contradict it.

    A function that waves faster than the shortest step does can look like a calm one at every step.

    Args:
        quantity: of which it is the truth.
        truth: by differences over the usual length.
        form: of the quantity.
        s: the sample.
        tolerance: how far off a claim may be; what contradicts by less does no harm.
    """
    # What waves over the usual line counts as rounding there, and is the function here.
    calm = np.maximum(noise(s, s.box.values, SHORTER_LINE), s.stepped)
    known, doubt = truth.estimate, truth.estimate.doubt
    little = tolerance * truth.scale[:, None]
    for length in (SHORTER, SHORTER**2):
        short = replace(s.over(length), rounding=np.minimum(s.rounding, calm))
        other = form_of(quantity, short)
        assert isinstance(other, Form)
        found = truth_of(quantity, other, short, short.along()).estimate
        found = found.times(np.array(1.0 if form.summed else length**-form.order))
        with np.errstate(invalid="ignore"):
            agreed = np.abs(known.value - found.value) <= (
                IN_DOUBT * (known.doubt + found.doubt) + little
            )
        doubt = np.where(agreed | ~np.isfinite(found.value), doubt, np.inf)
    return Truth(Estimate(known.value, doubt, known.rounding), truth.scale)


def truth_of(quantity: Quantity, form: Form, s: Sample, along: Along) -> Truth:
    """What differences say of a quantity, `(n, k, places)`."""
    found = s.derivative(form.lines, form.order)
    w, sizes = form.weights, np.abs(form.weights)
    if quantity == quantities.DIVERGENCE:
        parts = (found.value, found.doubt, found.rounding)
        found = Estimate(*(np.diagonal(part, axis1=1, axis2=2)[..., None] for part in parts))
    value, doubt, rounding = (
        np.einsum("al,nlk->nka", weights, part)
        for weights, part in ((w, found.value), (sizes, found.doubt), (sizes, found.rounding))
    )
    estimate = Estimate(value, doubt, rounding)
    steepest = np.abs(np.where(np.isfinite(along.slope.value), along.slope.value, 0.0))
    steepest = np.maximum(steepest.max(axis=(0, 1)), LEVEL * along.largest)
    if quantity == quantities.DIVERGENCE:
        steepest = np.array([steepest.max()])
    floor = FLOOR * steepest
    if not form.summed:
        return Truth(estimate, scale_of(estimate, floor[:, None]))
    magnitude = np.einsum("al,nlk->nka", sizes, np.abs(found.value))
    return Truth(
        estimate, scale_of(Estimate(magnitude, doubt, rounding), floor[:, None] * sizes.sum())
    )
