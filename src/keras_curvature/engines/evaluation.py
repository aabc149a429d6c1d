"""From a model and a batch to named derivatives: traced once, compiled once, in chunks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_curvature.engines import chunking
from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.bound_model import BoundModel, Compute, bind
from keras_curvature.engines.computation_key import key_of
from keras_curvature.engines.dispatch import EngineChoice, naming_what_is_missing
from keras_curvature.engines.engine import Engine
from keras_curvature.engines.inputs import numbers_in
from keras_curvature.engines.layout import fits, unflatten
from keras_curvature.engines.options import Options
from keras_curvature.engines.quantities import ALONG_V, LAPLACIAN
from keras_curvature.engines.requests import Asked
from keras_curvature.typing import Model, Structure, Tensor

compilation = own_module("compilation")
random_directions = own_module("random_directions")
running = own_module("running")


def differentiate(
    model: Model, x: Structure, asked: Mapping[str, Asked], v: Structure | None, options: Options
) -> dict[str, Any]:
    """Derivatives of `model` at `x`, in the user's structure and by the user's names."""
    bound = bind(model, x, options)
    quantity = bound.quantities_of(asked)
    names = tuple(dict.fromkeys(quantity.values()))
    engine = bound.engine_for(names)
    with compilation.computing_in(bound.f.dtype):
        direction = as_direction(bound, v) if ALONG_V & set(names) else None
        flat = flat_derivatives(bound, engine, names, direction, options.batch_size)
        found = {
            name: unflatten(xp.cast(flat[name], bound.result_dtype), *bound.layouts(name))
            for name in names
        }
    return {name: found[quantity[name]] for name in asked}


def estimate_laplacian(
    model: Model, x: Structure, directions: int, seed: int, options: Options
) -> Any:
    """Hutchinson's estimate of the Laplacian from random signs, in the user's structure."""
    bound = bind(model, x, options)
    engine = bound.engine_for((LAPLACIAN,))
    f, leaves = bound.f, bound.inputs.leaves
    count = xp.lengths(leaves[0])[0] if leaves[0].shape[0] is None else leaves[0].shape[0]
    signs = random_directions.rademacher([count, directions, f.inputs.width], seed)

    def compute(*tensors: Tensor) -> dict[str, Tensor]:
        z, rest = f.point(tensors[:-1])
        along = xp.cast(xp.transpose(tensors[-1], [1, 0, 2]), z.dtype)
        return {LAPLACIAN: engine.trace(f, z, rest, along)}

    planned = max(1, engine.rows_along(f) // (directions + 2))
    size = chunking.at_once(options.batch_size, planned, leaves[0])
    signature = {LAPLACIAN: xp.spec([None, f.outputs.width], f.dtype)}
    halved_from = bound.evaluator.halved_along(engine, directions)
    with compilation.computing_in(f.dtype):
        compute = running.in_parts(f, compute, directions + 2)
        found = run_chunked(bound, compute, (*leaves, signs), size, signature, halved_from)
        estimate = xp.cast(found[LAPLACIAN], bound.result_dtype)
        return unflatten(estimate, *bound.layouts(LAPLACIAN))


def engine_choice(
    model: Model, x: Structure, asked: Mapping[str, Asked], options: Options
) -> EngineChoice:
    """Which engine computes these derivatives of a model, and why."""
    bound = bind(model, x, options)
    return bound.choice(frozenset(bound.quantities_of(asked).values()))


def flat_derivatives(
    bound: BoundModel,
    engine: Engine[Any],
    names: tuple[str, ...],
    v: Tensor | None,
    batch_size: int | None,
) -> dict[str, Tensor]:
    """Named derivatives with inputs and outputs laid flat, as `quantities.compute` gives them."""
    f = bound.f
    examples, directions_at_once = bound.evaluator.plan(engine, names)
    leaves = bound.inputs.leaves
    count, along_v = len(leaves), v is not None

    def compute(*tensors: Tensor) -> dict[str, Tensor]:
        z, rest = f.point(tensors[:count])
        direction = tensors[-1] if along_v else None
        return engine.compute(f, z, rest, direction, names, directions_at_once)

    signature = {
        name: xp.spec(
            [None, *(layout.width for layout in bound.layouts(name))],
            f.dtype,
        )
        for name in names
    }
    tensors = leaves if v is None else (*leaves, v)
    size = chunking.at_once(batch_size, examples, leaves[0])
    halved_from = bound.evaluator.halved_from(engine, names)
    rows = directions_at_once * (f.outputs.width if engine.repeats_examples else 1)
    compute = running.in_parts(f, compute, rows)
    return run_chunked(bound, compute, tensors, size, signature, halved_from)


@compilation.unobserved(differentiable=True)
def run_chunked(
    bound: BoundModel,
    compute: Compute,
    tensors: Sequence[Tensor],
    size: int,
    signature: dict[str, Any],
    halved_from: float = math.inf,
    constants: Sequence[Tensor] = (),
    *,
    once: bool = False,
) -> dict[str, Tensor]:
    """Runs `compute(*tensors, *constants)` on at most `size` examples at a time.

    From `halved_from` examples on in two halves side by side; in a `tf.function` only inside XLA,
    and only all of them at once.

    Eagerly through a function that is compiled once, and with fewer examples at a time if the
    memory runs out; inside a `tf.function` as part of it.

    Args:
        bound: the traced model.
        compute: its closure holds constants that can be told apart, see `computation_key`.
        tensors: with the examples as the first axis.
        size: how many examples at a time.
        signature: of the results.
        halved_from: from how many examples on halves are faster.
        constants: arrays that all examples share.
        once: for a single call of these, see `Evaluator.function`; of one chunk.
    """
    if not running.has_numbers(bound.f, tensors):
        with naming_what_is_missing(bound.f):
            return running.in_graph(
                lambda *some: compute(*some, *constants), tensors, size, signature, halved_from
            )

    def run(*some: Tensor) -> dict[str, Tensor]:
        halved = some[0].shape[0] >= halved_from
        alone = once and some[0].shape[0] == tensors[0].shape[0]
        function = bound.evaluator.function(compute, some, constants, halved=halved, once=alone)
        return function(*some, *constants)

    fitting, key = bound.evaluator.fitting, key_of(compute)

    def smaller(fewer: int) -> None:
        fitting[key] = fewer
        warnings.warn(
            f"The memory ran out; the derivatives are computed for {chunking.counted(fewer)} at a "
            f"time from now on. `batch_size={fewer}` does so from the beginning.",
            stacklevel=2,
        )

    size = min(size, fitting.get(key, size))
    with naming_what_is_missing(bound.f):
        return chunking.as_fits(run, tensors, size, smaller)


def as_direction(bound: BoundModel, v: Structure | None) -> Tensor:
    """The direction as `(n, d)`: one per example, or one for all of them."""
    layout = bound.f.inputs
    dtype = bound.f.dtype
    if v is None:
        raise ValueError(
            "A direction `v` is needed: an array in the shape of `x`, or of one example."
        )
    alone = len(layout.shapes) == 1 and not isinstance(v, Mapping)
    parts = [_only(v)] if alone else layout.in_order(v, "`v`")
    leaves = [xp.cast(xp.array(numbers_in(leaf, "v")), dtype) for leaf in parts]
    shapes = [tuple(leaf.shape) for leaf in leaves]
    batch = bound.inputs.leaves[0].shape[0]
    if shapes == list(layout.shapes):
        return xp.repeat(layout.join(leaves), xp.lengths(bound.inputs.leaves[0])[0], axis=0)
    wanted = [(batch, *shape) for shape in layout.shapes]
    if not _compatible(wanted, shapes):
        raise ValueError(
            f"`v` must have the shape of what is differentiated by, {wanted}, or of one "
            f"example of it. Received: {shapes}."
        )
    return layout.join(leaves)


def _only(v: Structure) -> Any:
    """What a structure of one array holds: `v` may come in the structure of `x`."""
    leaves = keras.tree.flatten(v) if isinstance(v, (list, tuple)) else []
    return leaves[0] if len(leaves) == 1 and np.ndim(leaves[0]) else v


def _compatible(wanted: list[Any], shapes: list[Any]) -> bool:
    return len(wanted) == len(shapes) and all(
        fits(a, b) for a, b in zip(wanted, shapes, strict=True)
    )
