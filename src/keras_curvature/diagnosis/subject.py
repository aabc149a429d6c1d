"""A model at a few examples, ready to be looked at from several sides at bounded cost."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.engines.api import ENGINES, BoundModel, Layout, Options, run_chunked, xp
from keras_curvature.engines.backend import FlatFunction
from keras_curvature.engines.quantities import JACOBIAN, PRODUCT, VALUE
from keras_curvature.measurement import rounding_noise, windows
from keras_curvature.measurement.statistics import still
from keras_curvature.typing import Array, Model, Tensor

MOST_EXAMPLES, LEAST_EXAMPLES = 64, 4
"""Examples looked at: as many as fit into memory at once, within these bounds."""

WIDE, EXAMPLES_IF_WIDE = 1024, 16
"""Inputs beyond which a model is likely to be deep too, and the examples looked at then."""

MOST_OUTPUTS = 4
"""Up to so many outputs each is looked at; of more, a random mixture."""

ENGINE = ENGINES["nested"]
"""The reference: exact, and without rules of its own that might be what is wrong."""


@dataclass(frozen=True, eq=False)
class Mixed(FlatFunction):
    """A function with many outputs, seen through few mixtures of them.

    Attributes:
        whole: the function.
        mixing: the share of each of its outputs in each mixture, `(outputs, mixtures)`.
    """

    whole: FlatFunction
    mixing: Array

    def __call__(self, z: Tensor, rest: Sequence[Tensor]) -> Tensor:
        """The mixtures, `(n, mixtures)`."""
        return self.whole(z, rest) @ xp.constant(self.mixing, z.dtype)

    @functools.cached_property
    def identity(self) -> Hashable:
        """That of the function, and the mixtures."""
        return super().identity, self.whole.identity, self.mixing.shape, self.mixing.tobytes()


def few_outputs(f: FlatFunction) -> Mixed:
    """The function itself if it has few outputs, else a mixture of them."""
    m = f.outputs.width
    mixing = np.eye(m)
    if m > MOST_OUTPUTS:
        mixing = np.random.default_rng(0).normal(size=(m, 1)) / np.sqrt(m)
    fields = {field.name: getattr(f, field.name) for field in dataclasses.fields(FlatFunction)}
    outputs = Layout(((mixing.shape[1],),), 0)
    return Mixed(**(fields | {"outputs": outputs}), whole=f, mixing=mixing)


@dataclass(frozen=True, eq=False)
class Subject:
    """What every check is given.

    Attributes:
        model: as the user gave it.
        bound: the model, traced, and all of the user's examples.
        options: the user's, columns by their indexes.
        leaves: the examples that are looked at, as the model takes them.
        chosen: which of the user's examples these are, `(n,)`.
        f: the model as the public functions evaluate it, few outputs.
        f64: the same in float64.
        spread: standard deviation of each input over all examples, `(d,)`.
        v: a random direction for each example, one standard deviation long, `(n, d)`.
        h: half-width of the window of the curvature at the scale, `(d,)`.
        still: which inputs are the same at all examples, beside others that are not, `(d,)`.
    """

    model: Model
    bound: BoundModel
    options: Options
    leaves: tuple[Tensor, ...]
    chosen: NDArray[np.integer]
    f: Mixed
    f64: Mixed
    spread: Array
    v: Array
    h: Array
    still: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """How many examples are looked at."""
        return len(self.v)

    @property
    def total(self) -> int:
        """How many the user gave."""
        return int(self.bound.inputs.leaves[0].shape[0])

    def among_the_examples(self) -> Subject:
        """The same with directions along which the examples differ.

        How far another input may be moved nobody knows: an adapted `Normalization` scales up a
        constant column by 1e7, so that no step fits it and the others.
        """
        return dataclasses.replace(self, v=np.where(self.still, 0.0, self.v))

    def first(self, count: int) -> list[Tensor]:
        """The first of the examples."""
        return [leaf[:count] for leaf in self.leaves]

    def run(
        self,
        compute: Callable[..., dict[str, Tensor]],
        tensors: Sequence[Any],
        rows_per_example: int = 1,
        constants: Sequence[Any] = (),
        *,
        once: bool = True,
    ) -> dict[str, Any]:
        """`compute(*tensors, *constants)`, in chunks of bounded memory.

        Not compiled where it is run once, as in a training of which little is asked.
        """
        given = [xp.array(tensor) for tensor in tensors]
        size = self.options.batch_size or max(1, self.f64.rows_at_once() // rows_per_example)
        shared = [xp.array(constant) for constant in constants]
        found = run_chunked(self.bound, compute, given, size, {}, constants=shared, once=once)
        arrays = {key: xp.to_numpy(tensor) for key, tensor in found.items()}
        return {k: a.astype(np.float64) if a.dtype.kind == "f" else a for k, a in arrays.items()}


def subject_of(
    model: Model,
    bound: BoundModel,
    options: Options,
    scale: Any = "auto",
    *,
    seed: int = 0,
    at_most: int = MOST_EXAMPLES,
) -> Subject:
    """Chooses the examples, and what is asked of them; `seed` is of the choice."""
    subset = bound.f.inputs.subset
    columns = None if subset is None else subset.indexes
    f = few_outputs(bound.f)
    f64 = few_outputs(dataclasses.replace(bound.f, dtype=xp.dtype_of("float64")))
    z = f64.point(bound.inputs.leaves)[0]
    spread = xp.to_numpy(windows.spread(z))
    most = min(at_most, EXAMPLES_IF_WIDE if len(spread) > WIDE else MOST_EXAMPLES)
    most = min(most, int(np.clip(f64.rows_at_once(), LEAST_EXAMPLES, MOST_EXAMPLES)))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(z))[:most])
    v = np.random.default_rng(seed + 1).normal(size=(len(chosen), len(spread)))
    return Subject(
        model=model,
        bound=bound,
        options=dataclasses.replace(options, columns=columns),
        leaves=tuple(xp.take(leaf, chosen) for leaf in bound.inputs.leaves),
        chosen=chosen,
        f=f,
        f64=f64,
        spread=spread,
        v=spread * v / np.linalg.norm(v, axis=1, keepdims=True),
        h=xp.to_numpy(windows.resolve(scale, f.inputs, lambda: xp.constant(spread))),
        still=still(xp.to_numpy(z)),
    )


@dataclass(frozen=True)
class Sample:
    """What the public functions would give at the examples, along `Subject.v`.

    Attributes:
        value: `(n, k)`, `k` few outputs.
        slope: first derivative along `v`.
        curvature: second derivative along `v`.
        level: whether the gradients of all outputs are exactly 0, `(n,)`.
        straight: whether the products of all Hessians with `v` are exactly 0, `(n,)`.
    """

    value: Array
    slope: Array
    curvature: Array
    level: NDArray[np.bool_]
    straight: NDArray[np.bool_]

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Whether value and derivatives are numbers, `(n,)`."""
        parts = (self.value, self.slope, self.curvature)
        return np.isfinite(np.concatenate(parts, axis=1)).all(axis=1)


def sample(s: Subject, f: Mixed, count: int | None = None) -> Sample:
    """Takes first and second derivatives at the examples."""

    def compute(*tensors: Tensor) -> dict[str, Tensor]:
        *leaves, v = tensors
        z, rest = f.point(leaves)
        v = xp.cast(v, z.dtype)
        found = ENGINE.compute(f, z, rest, v, (VALUE, JACOBIAN, PRODUCT), 1)
        jacobian, product = found[JACOBIAN], found[PRODUCT]
        return {
            "value": found[VALUE],
            "slope": xp.sum(jacobian * v[:, None], axis=-1),
            "curvature": xp.sum(product * v[:, None], axis=-1),
            "level": xp.all(jacobian == 0, axis=(1, 2)),
            "straight": xp.all(product == 0, axis=(1, 2)),
        }

    count = s.count if count is None else count
    tensors = (*s.first(count), s.v[:count])
    found = s.run(compute, tensors, f.outputs.width)
    return Sample(**found)


def noise(s: Subject, count: int = 8) -> Array:
    """Standard deviation of the rounding in one value of the function in float64, `(k,)`."""
    f, offsets = s.f64, rounding_noise.offsets()
    times = len(offsets)

    def compute(*tensors: Tensor) -> dict[str, Tensor]:
        *leaves, v, offsets = tensors
        z, rest = f.point(leaves)
        rows = z[:, None] + offsets[:, None] * v[:, None]
        y = f(xp.reshape(rows, [-1, z.shape[1]]), [xp.repeat(r, times, axis=0) for r in rest])
        return {"values": xp.reshape(y, [-1, times, f.outputs.width])}

    found = s.run(compute, (*s.first(count), s.v[:count]), times, [offsets])
    return rounding_noise.noise(found["values"])
