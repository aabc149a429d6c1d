"""From a model and a batch to named derivatives: traced once, compiled once, in chunks."""

from __future__ import annotations

import dataclasses
import math
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_curvature.engines import chunking, quantities
from keras_curvature.engines.batch_coupling import warn_if_coupled
from keras_curvature.engines.computation_key import key_of
from keras_curvature.engines.dispatch import ENGINES, Engine, EngineChoice, choose, needs_float64
from keras_curvature.engines.inputs import Inputs, numbers_in, prepare
from keras_curvature.engines.layout import Layout, unflatten
from keras_curvature.engines.quantities import ALONG_V, LAPLACIAN
from keras_curvature.engines.random_directions import random_signs
from keras_curvature.engines.taylor import registry
from keras_curvature.engines.tensorflow import batch_splitting, distribution, fixed_batch
from keras_curvature.engines.tensorflow.compilation import compiled, standing_alone
from keras_curvature.engines.tensorflow.fingerprint import fingerprint
from keras_curvature.engines.tensorflow.function import FlatFunction, checked_wrt, flatten
from keras_curvature.engines.tensorflow.op_emission import widened
from keras_curvature.engines.tensorflow.private import inside_xla, unobserved
from keras_curvature.typing import Model, Output, Structure, Wrt

Compute = Callable[..., dict[str, tf.Tensor]]

KEPT_PER_MODEL = 32
"""Traced functions kept for one model; beyond that the least recently used one goes."""


@dataclass(frozen=True)
class Options:
    """What every public function takes besides the model and `x`."""

    output: Output = None
    wrt: Wrt = None
    engine: str = "auto"
    dtype: str | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        """Checks what can be checked without a model."""
        object.__setattr__(self, "wrt", checked_wrt(self.wrt))
        if self.engine not in ("auto", *ENGINES):
            raise ValueError(
                f"`engine` must be 'auto' or one of {sorted(ENGINES)}. Received: {self.engine!r}."
            )
        if self.dtype not in (None, "float32", "float64"):
            raise ValueError(
                "`dtype` must be None, 'float32' or 'float64': the narrowest dtype to "
                f"evaluate in. Received: {self.dtype!r}."
            )
        size = self.batch_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
            raise TypeError(f"`batch_size` must be None or an int. Received: {size!r}.")
        if size is not None and size < 1:
            raise ValueError(f"`batch_size` must be at least 1. Received: {size}.")

    @property
    def narrowest(self) -> tf.DType:
        """The narrowest float dtype of the results."""
        return tf.as_dtype(self.dtype or "float32")


@dataclass(eq=False)
class Evaluator:
    """A traced model with everything that has been compiled for it."""

    f: FlatFunction
    strategy: tf.distribute.Strategy | None = None
    """Shares each chunk out over several devices."""

    coupled: bool = False
    """Whether the examples of a batch have been seen to influence each other."""

    compiled: dict[Hashable, Compute] = field(default_factory=dict)
    choices: dict[Hashable, EngineChoice] = field(default_factory=dict)
    plans: dict[Hashable, tuple[int, int]] = field(default_factory=dict)
    halving: dict[Hashable, float] = field(default_factory=dict)
    fitting: dict[Hashable, int] = field(default_factory=dict)
    """Examples at a time on each device, where the memory ran out with more."""

    def choice(self, asked: str, names: Collection[str]) -> EngineChoice:
        """The engine for these quantities, settled once."""
        key = (asked, frozenset(names))
        if key not in self.choices:
            self.choices[key] = choose(asked, self.f, names)
        return self.choices[key]

    def plan(self, engine: Engine, names: Collection[str]) -> tuple[int, int]:
        """Examples and directions at once, settled once."""
        key = (engine.name, frozenset(names))
        if key not in self.plans:
            self.plans[key] = engine.plan(self.f, names)
        return self.plans[key]

    def halved_from(self, engine: Engine, names: Collection[str]) -> float:
        """From how many examples on these quantities are computed in halves, settled once."""
        return self._least(
            (engine.name, frozenset(names)), lambda: engine.halved_from(self.f, names)
        )

    def halved_along(self, engine: Engine, directions: int) -> float:
        """The same for so many directions at each example."""
        return self._least((engine.name, directions), lambda: engine.halves(self.f, directions))

    def _least(self, asked: Hashable, find: Callable[[], float]) -> float:
        key = (asked, inside_xla())
        if key not in self.halving:
            self.halving[key] = math.inf if self.coupled else find()
        return self.halving[key]

    def function(
        self,
        compute: Compute,
        tensors: Sequence[tf.Tensor],
        constants: Sequence[tf.Tensor] = (),
        *,
        halved: bool = False,
        shared: bool = False,
    ) -> Compute:
        """`compute(*tensors, *constants)` compiled for tensors like these with any batch.

        Traced on first use, here and not by calling a `tf.function`, which warns of retracing
        when the same code is compiled for many models.

        Args:
            compute: kept by its code and the constants in its closure, see `computation_key`.
            tensors: have the examples as their first axis.
            constants: do not; they are the same for all examples.
            halved: in two halves side by side.
            shared: shared out over the devices of the strategy.
        """
        specs = [tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in tensors]
        specs += [tf.TensorSpec(t.shape, t.dtype) for t in constants]
        count = len(tensors)
        key = (key_of(compute), count, tuple(specs), halved, shared)
        if key not in self.compiled:

            def whole(*given: tf.Tensor) -> dict[str, tf.Tensor]:
                of_examples = bound(compute, given[count:])
                if halved:
                    of_examples = batch_splitting.side_by_side(of_examples)
                if shared:
                    of_examples = distribution.shared_out(of_examples, self.strategy)
                return of_examples(*given[:count])

            with standing_alone():
                self.compiled[key] = compiled(whole, specs)
        return self.compiled[key]


def bound(compute: Compute, constants: Sequence[tf.Tensor]) -> Compute:
    """`compute` as a function of its first tensors, with `constants` behind them."""
    return lambda *tensors: compute(*tensors, *constants)


@dataclass(frozen=True)
class Problem:
    """A model and a batch, ready to be differentiated.

    Attributes:
        evaluator: the traced model.
        inputs: the batch.
        result_dtype: in which results are given.
    """

    evaluator: Evaluator
    inputs: Inputs
    result_dtype: tf.DType

    @property
    def f(self) -> FlatFunction:
        """The model as a function of one vector."""
        return self.evaluator.f

    def layouts(self, name: str) -> tuple[Layout, ...]:
        """What lies along the axes of a flat result."""
        out, arg = self.f.outputs, self.f.inputs
        if name == quantities.HESSIAN:
            return out, arg, arg
        if name in (quantities.JACOBIAN, quantities.DIAGONAL, quantities.PRODUCT):
            return out, arg
        return (out,)


@unobserved()
def pose(model: Model, x: Structure, options: Options, *, in_float64: bool) -> Problem:
    """Checks the batch, and traces the model unless that was done before.

    Args:
        model: the model.
        x: the batch.
        options: the caller's options.
        in_float64: evaluate in float64 whatever the results' dtype.
    """
    inside = tf.float64 if in_float64 else options.narrowest
    inputs = prepare(model, x)
    key = (
        inputs.specs,
        inputs.names,
        repr(inputs.structure),
        inputs.masked,
        options.output,
        options.wrt,
        inside.name,
    )

    def make(strategy: tf.distribute.Strategy | None) -> Evaluator:
        f = flatten(model, inputs, options.output, options.wrt, inside)
        any_number = fixed_batch.rows(f.fetches) is None
        return Evaluator(f, strategy, any_number and warn_if_coupled(f, inputs.leaves))

    evaluator = _evaluator(model, key, make)
    whole = evaluator.f
    batch = fixed_batch.size(inputs, whole.fetches, coupled=evaluator.coupled)
    if batch is None:
        return Problem(evaluator, inputs, widened(whole.native, options.narrowest))
    placed = fixed_batch.placed(inputs, batch)

    def make_again(strategy: tf.distribute.Strategy | None) -> Evaluator:
        f = dataclasses.replace(whole, batch=batch)
        return Evaluator(f, strategy, warn_if_coupled(f, placed.leaves))

    evaluator = _evaluator(model, (key, batch), make_again)
    return Problem(evaluator, placed, widened(whole.native, options.narrowest))


def differentiate(
    model: Model, x: Structure, names: Collection[str], v: Structure | None, options: Options
) -> dict[str, Any]:
    """Named derivatives of `model` at `x`, in the user's structure."""
    problem = pose(model, x, options, in_float64=needs_float64(options.engine))
    engine = ENGINES[problem.evaluator.choice(options.engine, names).name]
    direction = as_direction(problem, v) if ALONG_V & set(names) else None
    found = flat_derivatives(problem, engine, tuple(names), direction, options.batch_size)
    return {
        name: unflatten(tf.cast(found[name], problem.result_dtype), *problem.layouts(name))
        for name in names
    }


def estimate_laplacian(
    model: Model, x: Structure, directions: int, seed: int, options: Options
) -> Any:
    """Hutchinson's estimate of the Laplacian from random signs, in the user's structure."""
    problem = pose(model, x, options, in_float64=needs_float64(options.engine))
    engine = ENGINES[problem.evaluator.choice(options.engine, (LAPLACIAN,)).name]
    f, leaves = problem.f, problem.inputs.leaves
    count = tf.shape(leaves[0])[0] if leaves[0].shape[0] is None else leaves[0].shape[0]
    signs = random_signs([count, directions, f.inputs.width], seed)

    def compute(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        z, rest = f.point(tensors[:-1])
        along = tf.cast(tf.transpose(tensors[-1], [1, 0, 2]), z.dtype)
        return {LAPLACIAN: engine.trace(f, z, rest, along)}

    planned = max(1, engine.rows_along(f) // (directions + 2))
    size = chunking.at_once(options.batch_size, planned, leaves[0])
    signature = {LAPLACIAN: tf.TensorSpec([None, f.outputs.width], f.dtype)}
    halved_from = problem.evaluator.halved_along(engine, directions)
    found = run_chunked(problem, compute, (*leaves, signs), size, signature, halved_from)
    return unflatten(tf.cast(found[LAPLACIAN], problem.result_dtype), *problem.layouts(LAPLACIAN))


def engine_choice(
    model: Model, x: Structure, names: Collection[str], options: Options
) -> EngineChoice:
    """Which engine computes these quantities of a model, and why."""
    problem = pose(model, x, options, in_float64=needs_float64(options.engine))
    return problem.evaluator.choice(options.engine, names)


def flat_derivatives(
    problem: Problem,
    engine: Engine,
    names: tuple[str, ...],
    v: tf.Tensor | None,
    batch_size: int | None,
) -> dict[str, tf.Tensor]:
    """Named derivatives with inputs and outputs laid flat, as `quantities.compute` gives them."""
    f = problem.f
    examples, directions_at_once = problem.evaluator.plan(engine, names)
    leaves = problem.inputs.leaves
    count, along_v = len(leaves), v is not None

    def compute(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        z, rest = f.point(tensors[:count])
        direction = tensors[-1] if along_v else None
        return engine.compute(f, z, rest, direction, names, directions_at_once)

    signature = {
        name: tf.TensorSpec(
            [None, *(layout.width for layout in problem.layouts(name))],
            f.dtype,
        )
        for name in names
    }
    tensors = leaves if v is None else (*leaves, v)
    size = chunking.at_once(batch_size, examples, leaves[0])
    halved_from = problem.evaluator.halved_from(engine, names)
    return run_chunked(problem, compute, tensors, size, signature, halved_from)


@unobserved()
def run_chunked(
    problem: Problem,
    compute: Compute,
    tensors: Sequence[tf.Tensor],
    size: int,
    signature: dict[str, tf.TensorSpec],
    halved_from: float = math.inf,
    constants: Sequence[tf.Tensor] = (),
) -> dict[str, tf.Tensor]:
    """Runs `compute(*tensors, *constants)` on at most `size` examples at a time, on each device.

    From `halved_from` examples on in two halves side by side, where there is one device; in a
    `tf.function` only inside XLA, and only all of them at once.

    Eagerly through a function that is compiled once, and with fewer examples at a time if the
    memory runs out; inside a `tf.function` as part of it.

    Args:
        problem: the traced model.
        compute: its closure holds constants that can be told apart, see `computation_key`.
        tensors: with the examples as the first axis.
        size: how many examples at a time.
        signature: of the results.
        halved_from: from how many examples on halves are faster.
        constants: arrays that all examples share.
    """
    if not tf.executing_eagerly():
        compute = bound(compute, constants)
        count = tensors[0].shape[0]
        if inside_xla() and count is not None and halved_from <= count <= size:
            compute = batch_splitting.side_by_side(compute)
        return chunking.in_graph(compute, tensors, size, signature)
    strategy, devices = problem.evaluator.strategy, 1
    shared = strategy is not None and not distribution.in_one()
    if shared:
        devices, halved_from = distribution.count(strategy), math.inf

    def run(*some: tf.Tensor) -> dict[str, tf.Tensor]:
        halved = some[0].shape[0] >= halved_from
        function = problem.evaluator.function(
            compute, some, constants, halved=halved, shared=shared
        )
        return function(*some, *constants)

    fitting, key = problem.evaluator.fitting, (key_of(compute), shared)

    def smaller(fewer: int) -> None:
        fitting[key] = fewer = -(-fewer // devices)
        on_each = " on each device" if devices > 1 else ""
        warnings.warn(
            f"The memory ran out; the derivatives are computed for {chunking.counted(fewer)} at a "
            f"time{on_each} from now on. `batch_size={fewer}` does so from the beginning.",
            stacklevel=2,
        )

    size = devices * min(size, fitting.get(key, size))
    return chunking.as_fits(run, tensors, size, smaller)


def as_direction(problem: Problem, v: Structure | None) -> tf.Tensor:
    """The direction as `(n, d)`: one per example, or one for all of them."""
    layout = problem.f.inputs
    dtype = problem.f.dtype
    if v is None:
        raise ValueError(
            "A direction `v` is needed: an array in the shape of `x`, or of one example."
        )
    if isinstance(v, dict) and not any(isinstance(part, dict) for part in v.values()):
        v = _in_order(v, problem.f.input_names)
    if len(layout.shapes) == 1:
        v = [tf.convert_to_tensor(numbers_in(_only(v), "v"))]
    leaves = [
        tf.cast(tf.convert_to_tensor(numbers_in(leaf, "v")), dtype)
        for leaf in keras.tree.flatten(v)
    ]
    shapes = [tuple(leaf.shape) for leaf in leaves]
    batch = problem.inputs.leaves[0].shape[0]
    if shapes == list(layout.shapes):
        return tf.repeat(layout.join(leaves), tf.shape(problem.inputs.leaves[0])[0], axis=0)
    wanted = [(batch, *shape) for shape in layout.shapes]
    if not _compatible(wanted, shapes):
        raise ValueError(
            f"`v` must have the shape of what is differentiated by, {wanted}, or of one "
            f"example of it. Received: {shapes}."
        )
    return layout.join(leaves)


def _in_order(v: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """The directions of a dict in the order in which the inputs of these names lie."""
    if len(v) == len(names) == 1:
        return list(v.values())
    missing = sorted(set(names) - set(v))
    if missing:
        raise ValueError(
            f"`v` as a dict must have an array for each of the inputs {list(names)}. Received: "
            f"{sorted(v)}, without {missing}."
        )
    return [v[name] for name in names]


def _only(v: Structure) -> Any:
    """What a structure of one array holds: `v` may come in the structure of `x`."""
    leaves = keras.tree.flatten(v) if isinstance(v, (dict, list, tuple)) else []
    return leaves[0] if len(leaves) == 1 and np.ndim(leaves[0]) else v


def _compatible(wanted: list[Any], shapes: list[Any]) -> bool:
    return len(wanted) == len(shapes) and all(
        tf.TensorShape(a).is_compatible_with(b) for a, b in zip(wanted, shapes, strict=True)
    )


MakeEvaluator = Callable[[tf.distribute.Strategy | None], Evaluator]

_evaluators: weakref.WeakKeyDictionary[Any, OrderedDict[Hashable, Evaluator]]
_evaluators = weakref.WeakKeyDictionary()


def _evaluator(model: Model, key: Hashable, make: MakeEvaluator) -> Evaluator:
    """The traced model for `key`, if the model and the rules are still what they were."""
    if not isinstance(model, keras.Layer):
        return make(None)  # a function's closure may have changed: never reuse
    kept = _evaluators.setdefault(model, OrderedDict())
    key = (key, fingerprint(model), registry.revision())
    if key not in kept:
        kept[key] = make(distribution.replicas_here(model))
        if len(kept) > KEPT_PER_MODEL:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]
