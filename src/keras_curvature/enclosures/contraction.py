"""Products of matrices in which one or both factors depend on the point.

A factor that is held is a `Matrix` where it can be. Two intervals are multiplied as midpoints and
radii, <a, r> <b, s> within <a b, |a| s + r (|b| + s)>, which is at most one and a half times as
wide as need be (Rump, Fast and parallel interval arithmetic, BIT 39, 1999).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_curvature.enclosures import interval, jet
from keras_curvature.enclosures.interval import SMALL, Interval
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.linear_map import UNIT, matrix
from keras_curvature.enclosures.transposed import of_product
from keras_curvature.enclosures.use import Apply, Use
from keras_curvature.typing import Array


@dataclass(frozen=True)
class Contraction:
    """A product of two tensors, in the letters of `np.einsum`: each letter is in two of the three.

    Attributes:
        first: the letters of the first factor.
        second: those of the second one.
        result: those of the result.
    """

    first: str
    second: str
    result: str

    def __post_init__(self) -> None:
        """Checks that it is a product of matrices.

        Raises:
            NotImplementedError: where it is none.
        """
        both = set(self.first) & set(self.second)
        alone = set(self.first) ^ set(self.second)
        whole = all(len(set(x)) == len(x) for x in (self.first, self.second, self.result))
        if not whole or not alone <= set(self.result) <= both | alone:
            raise NotImplementedError("is a product of another form than that of matrices")

    @property
    def batch(self) -> str:
        """What both factors have, and the result."""
        return "".join(c for c in self.first if c in self.second and c in self.result)

    @property
    def inner(self) -> str:
        """What is summed over."""
        return "".join(c for c in self.first if c in self.second and c not in self.result)

    def swapped(self) -> Contraction:
        """With the factors the other way round."""
        return Contraction(self.second, self.first, self.result)

    def rows(self) -> str:
        """What only the first factor has."""
        return "".join(c for c in self.first if c not in self.second)


def _arranged(letters: str, *groups: str) -> Callable[[Array, int], Array]:
    """Brings axes into groups, each of which becomes one axis, behind so many others."""
    order = [letters.index(c) for group in groups for c in group]

    def arrange(x: Array, lead: int) -> Array:
        x = np.transpose(x, [*range(lead), *(lead + k for k in order)])
        sizes, start = [], lead
        for group in groups:
            sizes.append(math.prod(x.shape[start : start + len(group)]))
            start += len(group)
        return x.reshape(*x.shape[:lead], *sizes)

    return arrange


def contracted(use: Use, form: Contraction, sizes: dict[str, int]) -> Apply:
    """A product in one of its factors, or in both."""
    back = [form.batch, form.rows(), form.swapped().rows()]
    flat = "".join(back)
    order = [flat.index(c) for c in form.result]

    def shaped(x: Array, lead: int) -> Array:
        x = x.reshape(*x.shape[:lead], *(sizes[c] for c in flat))
        return np.transpose(x, [*range(lead), *(lead + k for k in order)])

    if len(use.active) == 1:
        if use.active[0] == 1:
            swapped = form.swapped()
            if not form.batch:
                return _by_matrix(use.constant(0), swapped, sizes)
        elif not form.batch:
            return _by_matrix(use.constant(1), form, sizes)
    first = _arranged(form.first, form.batch, form.rows(), form.inner)
    second = _arranged(form.second, form.batch, form.inner, form.swapped().rows())
    constant = [
        None if i in use.active else interval.point(arrange(use.constant(i), 0)[None])
        for i, arrange in enumerate((first, second))
    ]

    def times(a: Interval, b: Interval, lead: int) -> Interval:
        return _product(a, b).map(lambda x: shaped(x, lead))

    def apply(jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        given = iter(jets)
        a, b = (
            JetBounds(known) if known is not None else _of_each(next(given), arrange)
            for known, arrange in zip(constant, (first, second), strict=True)
        )
        return [_by_product_rule(a, b, pairs, times)]

    return apply


def _of_each(found: JetBounds, arrange: Callable[[Array, int], Array]) -> JetBounds:
    def each(x: Interval | None, lead: int) -> Interval | None:
        return None if x is None else x.map(lambda bound: arrange(bound, lead))

    value = each(found.value, 1)
    assert value is not None
    return JetBounds(value, each(found.slope, 2), each(found.bend, 2))


def _by_product_rule(
    a: JetBounds, b: JetBounds, pairs: Pairs, times: Callable[[Interval, Interval, int], Interval]
) -> JetBounds:
    def of(x: Interval | None, y: Interval | None) -> Interval | None:
        return None if x is None or y is None else times(x, y, 2)

    over_a, over_b = a.value[:, None], b.value[:, None]
    value = times(a.value, b.value, 1)
    slope = jet.sum_of(of(a.slope, over_b), of(over_a, b.slope))
    bend = jet.sum_of(of(a.bend, over_b), of(over_a, b.bend))
    if a.slope is not None and b.slope is not None and len(pairs.first):
        i, j = pairs.first, pairs.second
        mixed = times(a.slope[:, i], b.slope[:, j], 2)
        other = mixed if pairs.on_diagonal else times(a.slope[:, j], b.slope[:, i], 2)
        bend = jet.sum_of(bend, interval.add(mixed, other))
    return JetBounds(value, slope, bend)


def _by_matrix(held: Array, form: Contraction, sizes: dict[str, int]) -> Apply:
    """A product of what depends on the point, the first factor of `form`, with what does not."""
    columns = form.swapped().rows()
    numbers = _arranged(form.second, form.inner, columns)(held, 0)
    weights = matrix(numbers)
    arrange = _arranged(form.first, form.rows(), form.inner)
    flat = form.rows() + columns
    order = [flat.index(c) for c in form.result]

    def shaped(x: Array, lead: int) -> Array:
        x = x.reshape(*x.shape[:lead], *(sizes[c] for c in flat))
        return np.transpose(x, [*range(lead), *(lead + k for k in order)])

    def apply(jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        arranged = jet.moved(arrange, jets[0])
        return [jet.moved(shaped, jet.linear(weights, weights, arranged, weights.form))]

    places = np.arange(float(math.prod(sizes[c] for c in form.first)))
    takes = arrange(places.reshape([sizes[c] for c in form.first]), 0).ravel()
    gives = shaped(np.arange(float(math.prod(sizes[c] for c in flat))), 0).ravel()
    return of_product(apply, numbers, takes.astype(int), gives.astype(int))


FAR = 1e250
"""What is larger has no bound in a product of matrices, and what is less than its inverse is 0."""


def _product(a: Interval, b: Interval) -> Interval:
    """Of stacks of matrices, with whatever axes in front."""
    unknown = None
    if not all((np.abs(x) < FAR).all() for x in (a.lower, a.upper, b.lower, b.upper)):
        far = [(~(np.abs(x.lower) < FAR) | ~(np.abs(x.upper) < FAR)).astype(float) for x in (a, b)]
        some = [((x.lower != 0) | (x.upper != 0)).astype(float) for x in (a, b)]
        unknown = (np.matmul(far[0], some[1]) + np.matmul(some[0], far[1])) > 0
        a, b = (
            Interval(
                np.where(f > 0, 0.0, x.lower),
                np.where(f > 0, 0.0, x.upper),
            )
            for x, f in zip((a, b), far, strict=True)
        )
    (ca, ra), (cb, rb) = _middle(a), _middle(b)
    for c, r in ((ca, ra), (cb, rb)):  # of small numbers rounding is no share of themselves
        r[(np.abs(c) + r < 1 / FAR) & ((c != 0) | (r != 0))] = 2 / FAR
    n = a.shape[-1] + 4
    share = n * UNIT / (1 - n * UNIT)
    middle = np.matmul(ca, cb)
    size_a, size_b = np.abs(ca), np.abs(cb)
    radius = np.matmul(size_a, rb + share * size_b) + np.matmul(ra, size_b + rb)
    radius *= 1 + 4 * share
    small = radius < SMALL
    if small.any():
        some = [((c != 0) | (r != 0)).astype(float) for c, r in ((ca, ra), (cb, rb))]
        radius[small & (np.matmul(*some) > 0)] = SMALL
    found = interval.outward(middle - radius, middle + radius)
    if unknown is not None:
        found.lower[unknown], found.upper[unknown] = -np.inf, np.inf
    return found


def _middle(x: Interval) -> tuple[Array, Array]:
    """Midpoints and radii that hold the intervals."""
    middle = x.lower / 2 + x.upper / 2
    return middle, np.maximum(middle - x.lower, x.upper - middle) * (1 + 4 * UNIT)


def form_of(use: Use) -> tuple[Contraction, dict[str, int]]:
    """What a product of any backend sums over.

    Raises:
        NotImplementedError: where it is of another form.
    """
    shapes = [tuple(x.shape) for x in use.step.inputs[:2]]
    ranks = [len(shape) for shape in shapes]
    if use.type == "einsum":
        equation = use.param("equation", b"").decode()
        if len(use.step.inputs) != 2 or "..." in equation:
            raise NotImplementedError("is a sum of products of another form")
        inputs, result = equation.split("->")
        first, second = inputs.split(",")
    elif use.type == "dot_general":
        (over, behind), (apart, other) = use.step.op.params["dimension_numbers"]
        letters = iter("abcdefghijklmnopqrstuvwxyz")
        names: list[list[str]] = [[""] * ranks[0], [""] * ranks[1]]
        for i, j in [*zip(apart, other, strict=True), *zip(over, behind, strict=True)]:
            names[0][i] = names[1][j] = next(letters)
        for axes in names:
            for k, name in enumerate(axes):
                axes[k] = name or next(letters)
        first, second = map("".join, names)
        batch = "".join(first[i] for i in apart)
        result = batch + "".join(c for c in first + second if (c in first) != (c in second))
    else:
        most = max(ranks) - 2
        front = "abcdefgh"[:most]
        one, two = (front[most - rank + 2 :] for rank in ranks)
        flips = [use.param(name, False) for name in ADJOINT.get(use.type, ())]
        first = one + ["mk", "km"][bool(flips and flips[0])]
        second = two + ["kn", "nk"][bool(flips and flips[1])]
        result = front + "mn"
    sizes: dict[str, int] = {}
    for letters_, shape in zip((first, second), shapes, strict=True):
        for c, size in zip(letters_, shape, strict=True):
            if sizes.setdefault(c, size) != size:
                raise NotImplementedError("repeats a factor along an axis")
    return Contraction(first, second, result), sizes


ADJOINT = {
    "batchmatmul": ("adj_x", "adj_y"),
    "batchmatmulv2": ("adj_x", "adj_y"),
    "batchmatmulv3": ("adj_x", "adj_y"),
    "matmul": ("transpose_a", "transpose_b"),
}
"""Which factor is transposed."""


def matrix_product(use: Use) -> Apply:
    """A product of matrices."""
    return contracted(use, *form_of(use))
