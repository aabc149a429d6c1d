"""A few examples seen from near: where in each of them the curvature sits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.engines.api import BoundModel, Options, normal, rademacher, xp
from keras_curvature.engines.backend import FlatFunction, computing_in, first_derivatives
from keras_curvature.engines.quantities import PRODUCT
from keras_curvature.estimates.lanczos import Multiply, extreme_eigenvalues
from keras_curvature.typing import Array, Tensor

EXAMPLES = 3
"""Looked at, from the beginning of the probe: what a person compares at a glance."""

FEWEST, MOST, NUMBERS = 16, 128, 2 * 10**8
"""Products with random signs behind each diagonal: as many as make so many intermediate results.

Half a minute for a network of 60 million, less for smaller ones.
"""

EXACT_INPUTS = 512
"""Up to so many inputs the diagonal is exact, from a product with each unit vector."""

PRODUCTS_AT_ONCE = 32
"""Of one example, if so many fit into memory."""

STEPS, TOLERANCE = 32, 0.01
"""Of Lanczos' method, which comes from within: at 0.05 one eigenvalue in a hundred was 5 % or more
short of the largest, at 0.01 none of 400 more than 1 %."""


@dataclass(frozen=True)
class Example:
    """One example.

    Attributes:
        tokens: ids, `(time steps,)`, where a layer made what is differentiated by of them;
            else `None`.
        shape: of what is differentiated by, without the batch.
        point: that, `(d,)`.
        component: which output, the largest one of the example.
        value: of it.
        slope: length of its gradient.
        diagonal: estimated second derivative along each input, `(d,)`.
        error: standard error of these, `(d,)`.
        eigenvalue: of the Hessian, the lowest or the highest, whichever is larger in size.
        direction: its eigenvector, of length 1, `(d,)`.
        residual: how far off an eigenvalue `eigenvalue` may be.
    """

    tokens: NDArray[np.integer] | None
    shape: tuple[int, ...]
    point: Array
    component: int
    value: float
    slope: float
    diagonal: Array
    error: Array
    eigenvalue: float
    direction: Array
    residual: float


Look = Callable[[], tuple[Example, ...]]
"""Looks again."""


@computing_in("float64")
def examples_of(
    bound: BoundModel, options: Options, part: slice, count: int = EXAMPLES
) -> tuple[Example, ...]:
    """Looks at the first examples of a batch, one after the other.

    Args:
        bound: a traced model of one input to differentiate by, and a batch.
        options: the user's.
        part: which of the outputs, laid flat.
        count: how many examples.
    """
    f, leaves = bound.f, bound.inputs.leaves
    engine = bound.engine_for((PRODUCT,))
    d, first, last = f.inputs.width, part.start, part.stop
    fitting = f.rows_at_once(vectors=4)
    at_once = max(1, min(PRODUCTS_AT_ONCE, fitting))

    def compute(*tensors: Tensor) -> dict[str, Tensor]:
        *given, signs, start = tensors
        z, rest = f.point(given)
        y = f(z, rest)[:, first:last]
        chosen = xp.argmax(y, axis=1) + first
        seeds = xp.cast(xp.one_hot(chosen, f.outputs.width), z.dtype)

        def multiply(v: Tensor) -> Tensor:
            return engine.products(f, z, rest, seeds, v)

        found = extreme_eigenvalues(multiply, start, min(STEPS, d), TOLERANCE)
        samples = _samples(multiply, xp.cast(xp.transpose(signs, [1, 0, 2]), z.dtype), at_once)
        gradient = first_derivatives.row_gradients(f, z, rest, seeds)
        return {
            **found,
            "point": z,
            "component": xp.cast(chosen - first, z.dtype),
            "y": xp.max(y, axis=1),
            "slope": xp.norm(gradient, axis=1),
            "samples": samples,
        }

    count = min(count, int(leaves[0].shape[0]))
    if d <= EXACT_INPUTS:
        signs = xp.repeat(xp.eye(d, dtype=xp.dtype_of("int8"))[None], count, axis=0)
    else:
        directions = min(MOST, max(FEWEST, NUMBERS // max(1, f.activity.activations)))
        signs = rademacher([count, directions, d], seed=0)
    start = normal([count, d], 0, f.dtype)
    tensors = [*(leaf[:count] for leaf in leaves), signs, start]
    function = bound.evaluator.function(compute, tensors)
    rows = [function(*(t[i : i + 1] for t in tensors)) for i in range(count)]
    return tuple(_example(f, leaves, i, row) for i, row in enumerate(rows))


def _samples(multiply: Multiply, signs: Tensor, at_once: int) -> Tensor:
    """`v * Hv` of `(k, 1, d)`, some at a time: pictures may take time, but not all memory."""
    count, _, d = signs.shape
    padded = xp.pad(signs, [[0, -count % at_once], [0, 0], [0, 0]])
    blocks = xp.reshape(padded, [-1, at_once, 1, d])
    samples = xp.map_slices(lambda v: v * multiply(v), blocks, blocks[0], at_once=1)
    return xp.reshape(samples, [-1, 1, d])[:count]


def _example(f: FlatFunction, leaves: Sequence[Tensor], i: int, row: dict[str, Any]) -> Example:
    found = {name: xp.to_numpy(part, np.float64) for name, part in row.items()}
    samples = found["samples"][:, 0]
    values = found["value"][0]
    end = int(np.abs(values).argmax())
    exact = len(found["point"][0]) <= EXACT_INPUTS
    return Example(
        tokens=_tokens(f, leaves, i),
        shape=f.inputs.shapes[0] if len(f.inputs.shapes) == 1 else (f.inputs.width,),
        point=found["point"][0],
        component=int(found["component"][0]),
        value=float(found["y"][0]),
        slope=float(found["slope"][0]),
        diagonal=samples.sum(axis=0) if exact else samples.mean(axis=0),
        error=np.zeros_like(samples[0])
        if exact
        else samples.std(axis=0, ddof=1) / np.sqrt(len(samples)),
        eigenvalue=float(values[end]),
        direction=found["direction"][0, end],
        residual=float(found["residual"][0, end]),
    )


def _tokens(f: FlatFunction, leaves: Sequence[Tensor], i: int) -> NDArray[np.integer] | None:
    """The ids of an example; whole numbers that are themselves differentiated by are no ids."""
    if f.layer is None:
        return None
    steps = f.inputs.shapes[0][:1]
    ids = [leaf for leaf in leaves if xp.is_integer(leaf.dtype) and tuple(leaf.shape[1:]) == steps]
    return xp.to_numpy(ids[0][i]) if ids else None
