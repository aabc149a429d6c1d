"""Bounds of values by linear functions that are carried from the results back to the inputs.

Forwards each layer adds its own width. Backwards a linear function of a layer, `A y + c`, becomes
one of the layer before it: through a linear map by its transpose, through a function of a number by
a line below or above it (`lines`), whichever the sign of the coefficient takes. What cancels
between layers does so in the coefficients, and only at the inputs intervals are put in (Zhang et
al., Efficient neural network robustness certification with general activation functions, NeurIPS
2018, called CROWN; Singh et al., An abstract domain for certifying neural networks, POPL 2019; for
any graph Xu et al., Automatic perturbation analysis for scalable certified robustness, NeurIPS
2020). The lines are as good as what is known of the arguments of their functions, so that these are
bounded in the same way first, layer by layer. An op that has no line is taken for an input, with
the bounds that it has forwards.

Rounding. A sum of n terms is off by at most n u / (1 - n u) times the sum of their magnitudes. What
the product of a row A with the transpose of W rounds is therefore at most a small share of
|A| (|W| |x|), and |W| |x| is known forwards. So each tensor has a charge e: to carry A from it back
through the linear ops before it costs at most |A| e, which is taken off where A comes to be, with
what is rounded there.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.enclosures import affine
from keras_curvature.enclosures.backward_pass import (
    Band,
    Charged,
    Pass,
    Rows,
    Start,
    band,
    end,
    side_by_side,
)
from keras_curvature.enclosures.interval import SMALL, Interval, both
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.lines import lines
from keras_curvature.enclosures.program import Program
from keras_curvature.enclosures.transposed import Elementwise, Linear, Product, is_straight
from keras_curvature.engines.api import Layout
from keras_curvature.typing import Array

AT_ONCE = 2**16
"""Coefficients at a time: half a MiB, which caches hold."""

FORWARDS = 2**18
"""Numbers of a tensor and its affine forms at a time, forwards."""

MOST = 2**22
"""Coefficients of one box up to which what is inside of a model is bounded backwards too."""

NOTHING = np.zeros(0, dtype=int)


def value_bounds(
    program: Program, inputs: Layout, low: Array, high: Array, few: int, widest: int
) -> tuple[Array, Array]:
    """Bounds of a model's outputs side by side, `(boxes, m)` each.

    Args:
        program: the model.
        inputs: how its inputs lie in the vector.
        low: the lower ends of boxes, `(boxes, d)`.
        high: the upper ones.
        few: inputs up to which affine forms may go along. They tell for little which pieces of
            straight functions are not met, whose arguments then need no bounds from behind; of
            other functions all do.
        widest: numbers in the largest tensor.
    """
    functions = [step.apply for step in program.instructions if isinstance(step.apply, Elementwise)]
    forms = inputs.width <= few and all(is_straight(each.function) for each in functions)
    size = max(1, FORWARDS // (widest * (1 + forms * inputs.width)))
    found = [
        _of_some(program, inputs, low[start : start + size], high[start : start + size], forms)
        for start in range(0, len(low), size)
    ]
    return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])


def _of_some(
    program: Program, inputs: Layout, low: Array, high: Array, forms: bool
) -> tuple[Array, Array]:
    """The same of so few boxes that caches hold what is computed forwards."""
    radius = (high / 2 - low / 2) * (1 + affine.SLACK)
    d, ends = inputs.width, np.cumsum(inputs.sizes)
    sources = []
    for shape, start, end_ in zip(inputs.shapes, [0, *ends[:-1]], ends, strict=True):
        value = Interval(low, high).map(
            lambda x, a=start, b=end_, own=shape: x[:, a:b].reshape(len(x), 1, *own)  # type: ignore[misc]
        )
        form = None
        if forms:
            unit = np.eye(d)[:, start:end_].reshape(1, d, 1, *shape)
            form = affine.of_box(value.lower, value.upper, unit, radius)
        sources.append(JetBounds(value, form=form))
    with np.errstate(all="ignore"):
        found = _Sweep(program, len(low)).run(sources)
    flat = [
        [np.broadcast_to(x.reshape(len(x), -1), (len(low), math.prod(x.shape[1:]))) for x in sides]
        for sides in zip(*((y.lower, y.upper) for y in found), strict=True)
    ]
    lower, upper = (np.concatenate(side, axis=1) for side in flat)
    return lower, upper


class _Sweep:
    """One run through a model, over one batch of boxes."""

    def __init__(self, program: Program, boxes: int) -> None:
        self.instructions, self.program, self.boxes = program.instructions, program, boxes
        self.known: dict[Hashable, Charged] = {}
        self.bands: dict[Hashable, Band] = {}
        self.writer = {y: i for i, step in enumerate(self.instructions) for y in step.writes}
        self.readers: dict[Hashable, list[int]] = {}
        for i, step in enumerate(self.instructions):
            for name in step.reads:
                self.readers.setdefault(name, []).append(i)
        self.products: dict[Hashable, int] = {}
        self.done: set[Hashable] = set()
        self.share = 2.0**-52 * (32 + 4 * len(self.instructions))
        self.tiny = np.full(boxes, SMALL)  # for coefficients that underflow

    def run(self, given: Sequence[JetBounds]) -> list[Interval]:
        """The outputs."""
        values = dict(zip(self.program.sources, given, strict=True))
        for name, found in values.items():
            self._know(name, found)
        kept = {name for name in self.program.results if not isinstance(name, JetBounds)}
        for i, step in enumerate(self.instructions):
            if not isinstance(step.apply, Linear):
                for name in dict.fromkeys(step.reads):
                    values[name] = self._tightened(name, values[name])
            found_here = step.run([values[name] for name in step.reads], Pairs(NOTHING, NOTHING))
            for name in set(step.reads) - kept:
                if self.readers[name][-1] == i:
                    del values[name]
            for name, found in zip(step.writes, found_here, strict=False):
                values[name] = found
                self._know(name, found, i)
                if isinstance(step.apply, Elementwise):
                    x = self.known[step.reads[0]]
                    self.bands[name] = band(lines(step.apply.function, x.value), x, self.share)
        results = []
        for y in self.program.results:
            if not isinstance(y, JetBounds):
                y = self._tightened(y, values[y], is_result=True)
            results.append(y.value)
        return results

    # What is known of a tensor

    def _know(self, name: Hashable, found: JetBounds, i: int | None = None) -> None:
        value = found.value.map(self._flat)
        size = np.maximum(np.abs(value.lower), np.abs(value.upper))
        n = size.shape[1]
        # A few operations on each number besides the sums, and one sum more for each op.
        self.share = max(self.share, 2.0**-52 * (n + 32 + 4 * len(self.instructions)))
        self.tiny = self.tiny + SMALL * size.sum(axis=1)
        step = None if i is None else self.instructions[i]
        if step is None or not isinstance(step.apply, Linear):
            self.known[name] = Charged(value, size, np.zeros(n), np.zeros_like(size))
            self.products[name] = 0 if step is None else 2
            if step is None or not isinstance(step.apply, Elementwise):
                self.bands[name] = end(value, self.share)
            return
        shift, charge = self._through_linear(step.apply, [self.known[x] for x in step.reads])
        start = sum(step.apply.sizes[: step.writes.index(name)])
        here = slice(start, start + n)
        self.known[name] = Charged(value, size, shift[here], charge[:, here])
        is_sum = any(isinstance(map_, Product) for map_ in step.apply.maps)
        self.products[name] = max(self.products[x] for x in step.reads) + is_sum

    def _through_linear(self, linear: Linear, given: Sequence[Charged]) -> tuple[Array, Array]:
        terms = max(map_.terms for map_ in linear.maps)
        share = self.share = max(self.share, 2.0**-52 * (terms + 32 + 4 * len(self.instructions)))
        shift = linear.constant
        charge = share * np.abs(linear.constant)[None]
        for map_, x in zip(linear.maps, given, strict=True):
            shift = shift + map_.forward(x.shift)
            costs = share * (x.size + np.abs(x.shift)) + 1.01 * x.charge
            charge = charge + 1.01 * map_.sizes(costs)
        return shift, np.broadcast_to(charge + SMALL, (self.boxes, len(shift)))

    def _flat(self, end: Array) -> Array:
        return np.broadcast_to(end.reshape(len(end), -1), (self.boxes, math.prod(end.shape[1:])))

    # Bounds of one tensor

    def _tightened(self, name: Hashable, found: JetBounds, is_result: bool = False) -> JetBounds:
        """What is known of a tensor met with its backward bounds."""
        i = self.writer.get(name)
        if i is None or self.products[name] < 2 or (name in self.done and not is_result):
            return found
        if not isinstance(self.instructions[i].apply, Linear):
            return found  # of a function the range says as much
        old = self.known[name]
        narrow = self._bounded(name, i, self._wanted(name, old.value, is_result), is_result)
        if narrow is None:
            return found
        self.done.add(name)
        value = both(old.value, narrow)
        size = np.maximum(np.abs(value.lower), np.abs(value.upper))
        self.known[name] = Charged(value, size, old.shift, old.charge)
        shape = found.value.shape[1:]
        return JetBounds(value.map(lambda x: x.reshape(len(x), *shape)), form=found.form)

    def _wanted(self, name: Hashable, value: Interval, is_result: bool) -> NDArray[np.bool_]:
        """The entries of which narrower bounds may help: not where all functions are straight."""
        everywhere = np.ones(value.shape, dtype=bool)
        if is_result:
            return everywhere
        wanted = np.zeros(value.shape, dtype=bool)
        for i in self.readers[name]:
            apply = self.instructions[i].apply
            if isinstance(apply, Elementwise) and is_straight(apply.function):
                bends = apply.function.ranges(value, 2)[2]
                wanted |= (bends.lower != 0) | (bends.upper != 0)
            elif isinstance(apply, Elementwise):
                wanted[:] = True
            elif not isinstance(apply, Linear):
                return everywhere
        return wanted & (value.lower < value.upper)

    def _bounded(
        self, name: Hashable, i: int, wanted: NDArray[np.bool_], is_result: bool
    ) -> Interval | None:
        """Backward bounds of some entries; `None` where they would cost too much."""
        n = wanted.shape[1]
        widest = max(x.size.shape[1] for x in self.known.values())
        if not is_result and 2 * n * widest > MOST:
            return None
        found = Interval(np.full(wanted.shape, -np.inf), np.full(wanted.shape, np.inf))
        some = np.flatnonzero(wanted.any(axis=0))
        block = max(1, MOST // (2 * widest))
        for start in range(0, len(some), block):
            columns = some[start : start + block]
            counts = np.count_nonzero(wanted[:, columns], axis=1)
            order = np.argsort(-counts, kind="stable")
            order = order[: np.count_nonzero(counts)]
            first = self._started(name, i, columns)
            done = 0
            while done < len(order):
                most = int(counts[order[done]])
                count = max(1, AT_ONCE // (2 * most * widest))
                boxes = order[done : done + count]
                done += count
                chosen = None
                if most < len(columns):
                    chosen = np.argsort(~wanted[boxes][:, columns], axis=1, kind="stable")[:, :most]
                way = Pass(self.instructions, self.known, self.bands, boxes, chosen)
                lower, upper = way.run(first)
                where = columns[None] if chosen is None else columns[chosen]
                # What a box has only to be as long as others would depend on these.
                own = wanted[boxes[:, None], where]
                tiny = self.tiny[boxes][:, None]
                found.lower[boxes[:, None], where] = np.where(own, lower - tiny, -np.inf)
                found.upper[boxes[:, None], where] = np.where(own, upper + tiny, np.inf)
        return found

    def _started(self, name: Hashable, i: int, columns: Any) -> Start:
        """Rows that pick entries, carried back as long as they are the same for all boxes."""
        known = self.known[name]
        rows = np.zeros((1, len(columns), len(known.shift)))
        rows[0, np.arange(len(columns)), columns] = 1.0
        pending = {name: Rows(rows)}
        total = known.shift[columns], known.charge[:, columns]
        alone = True
        while i >= 0 and alone:
            step = self.instructions[i]
            if any(y in pending for y in step.writes):
                apply = step.apply
                # Where two paths meet, what their sum rounds depends on the box.
                alone = isinstance(apply, Linear) and not any(x in pending for x in step.reads)
                alone = alone and len(set(step.reads)) == len(step.reads)
                if not alone:
                    break
                assert isinstance(apply, Linear)
                given = side_by_side(pending, step.writes, apply.sizes, None)
                for x, map_ in zip(step.reads, apply.maps, strict=True):
                    pending[x] = Rows(map_.back(given.numbers))
            i -= 1
        return Start(i, pending, *total)
