"""From a model and a batch to named derivatives: traced once, compiled once, in chunks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_curvature.engines import chunking
from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.bound_model import BoundModel, Compute, bind
from keras_curvature.engines.computation_key import key_of
from keras_curvature.engines.directions import (
    as_direction,
    as_directions,
    as_rows,
    warn_of_more_than_exact,
)
from keras_curvature.engines.dispatch import EngineChoice, naming_what_is_missing
from keras_curvature.engines.engine import Engine
from keras_curvature.engines.layout import Layout, unflatten
from keras_curvature.engines.options import Options
from keras_curvature.engines.quantities import ALONG_V, CURVATURE, DIRECTIONAL, LAPLACIAN, PRODUCT
from keras_curvature.engines.requests import Asked
from keras_curvature.typing import Model, Structure, Tensor

compilation = own_module("compilation")
fixed_batch = own_module("fixed_batch")
random_directions = own_module("random_directions")
running = own_module("running")


def differentiate(
    model: Model,
    x: Structure,
    asked: Mapping[str, Asked],
    v: Structure | None,
    options: Options,
    directions: bool = False,
) -> dict[str, Any]:
    """Derivatives of `model` at `x`, in the user's structure and by the user's names.

    Args:
        model: the model.
        x: the batch.
        asked: what, by the user's names.
        v: the direction, or several.
        options: the caller's options.
        directions: whether `v` has several, also where its shape is that of one for each example.
    """
    bound = bind(model, x, options)
    quantity = bound.quantities_of(asked)
    names = tuple(dict.fromkeys(quantity.values()))
    along = tuple(name for name in names if name in ALONG_V)
    with compilation.computing_in(bound.f.dtype):
        several = as_directions(bound, v, directions) if along else None
        before, flat = {}, {}
        if several is not None:
            flat = flat_along(bound, along, several, options.batch_size)
            before = dict.fromkeys(along, (Layout(((int(several.shape[-2]),),), 0),))
        alone = tuple(name for name in names if name not in flat)
        if alone:
            direction = as_direction(bound, v) if ALONG_V & set(alone) else None
            engine = bound.engine_for(alone)
            flat |= flat_derivatives(bound, engine, alone, direction, options.batch_size)
        _require_a_row_each(bound, flat)
        found = {
            name: unflatten(
                xp.cast(flat[name], bound.result_dtype),
                *before.get(name, ()),
                *bound.layouts(name),
            )
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
    warn_of_more_than_exact(directions, f.inputs.width)
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
        _require_a_row_each(bound, found)
        estimate = xp.cast(found[LAPLACIAN], bound.result_dtype)
        return unflatten(estimate, *bound.layouts(LAPLACIAN))


def _require_a_row_each(bound: BoundModel, flat: Mapping[str, Tensor]) -> None:
    """What is tried on a few examples does not tell of a function that leaves out all after them.

    Raises:
        ValueError: for one that did, where there are numbers.
    """
    leaves = bound.inputs.leaves
    if running.has_numbers(bound.f, leaves):
        count = leaves[0].shape[0]
        for part in flat.values():
            if part.shape[0] != count:
                raise ValueError(fixed_batch.not_a_row_each(int(part.shape[0]), count))


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


def flat_along(
    bound: BoundModel, names: tuple[str, ...], directions: Tensor, batch_size: int | None
) -> dict[str, Tensor]:
    """Derivatives along several directions at once, each example's `(n, k, ...)`.

    Args:
        bound: the traced model.
        names: of `ALONG_V`.
        directions: `(k, d)` or `(n, k, d)`.
        batch_size: examples at a time.
    """
    f, engine = bound.f, bound.engine_for(names)
    m, k = f.outputs.width, int(directions.shape[-2])
    # A product takes reverse mode, and so all that is in between.
    rows = max(1, f.rows_at_once(vectors=4) // m) if PRODUCT in names else None
    examples, at_once = plan_along(bound, engine, k, rows)

    def along(z: Tensor, rest: Sequence[Tensor], given: Tensor) -> dict[str, Tensor]:
        stack = as_rows(given)
        found: dict[str, list[Tensor]] = {name: [] for name in names}
        for start in range(0, k, at_once):
            some = stack[start : start + at_once]
            if PRODUCT in names:
                products = xp.transpose(engine.hessian_rows(f, z, rest, some), [0, 2, 1, 3])
                found[PRODUCT].append(products)
                if DIRECTIONAL in names:
                    v = xp.transpose(some, [1, 0, 2])[:, :, None]
                    found[DIRECTIONAL].append(xp.sum(products * v, axis=-1))
            else:
                curvature = engine.along(f, z, rest, some)[CURVATURE]
                found[DIRECTIONAL].append(xp.transpose(curvature, [0, 2, 1]))
        return {name: xp.concatenate(parts, axis=1) for name, parts in found.items()}

    signature = {
        name: xp.spec([None, k, *(layout.width for layout in bound.layouts(name))], f.dtype)
        for name in names
    }
    size = chunking.at_once(batch_size, examples, bound.inputs.leaves[0])
    return run_along(bound, engine, along, directions, size, at_once, signature)


def plan_along(
    bound: BoundModel, engine: Engine[Any], directions: int, rows: int | None = None
) -> tuple[int, int]:
    """Examples, and of so many directions each how many, that go through at once."""
    rows = engine.rows_along(bound.f) if rows is None else rows
    examples, at_once = chunking.plan(rows, 1, directions + 2)  # the value and the sum besides
    return examples, min(at_once, directions)


def run_along(
    bound: BoundModel,
    engine: Engine[Any],
    along: Callable[[Tensor, Sequence[Tensor], Tensor], dict[str, Tensor]],
    directions: Tensor,
    size: int,
    at_once: int,
    signature: dict[str, Any],
) -> dict[str, Tensor]:
    """Runs `along(z, rest, directions)` on at most `size` examples at a time.

    Args:
        bound: the traced model.
        engine: what runs it.
        along: as `run_chunked` takes it.
        directions: of two axes where all examples share them, of three with the examples in front.
        size: how many examples at a time.
        at_once: how many directions of each go through together.
        signature: of the results.
    """
    f, leaves = bound.f, bound.inputs.leaves
    count, shared = len(leaves), directions.ndim == 2

    def compute(*given: Tensor) -> dict[str, Tensor]:
        z, rest = f.point(given[:count])
        return along(z, rest, given[count])

    halved_from = bound.evaluator.halved_along(engine, at_once)
    compute = running.in_parts(f, compute, at_once + 2, count if shared else count + 1)
    tensors = leaves if shared else (*leaves, directions)
    constants = (directions,) if shared else ()
    return run_chunked(bound, compute, tensors, size, signature, halved_from, constants)


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
