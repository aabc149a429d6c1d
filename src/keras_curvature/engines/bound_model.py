"""A model and a batch, ready to be differentiated: traced and compiled once."""

from __future__ import annotations

import dataclasses
import math
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from keras_curvature.engines import quantities
from keras_curvature.engines.batch_coupling import warn_if_coupled
from keras_curvature.engines.computation_key import key_of
from keras_curvature.engines.dispatch import ENGINES, EngineChoice, choose, needs_float64
from keras_curvature.engines.engine import Engine
from keras_curvature.engines.inputs import Inputs, prepare
from keras_curvature.engines.layout import Layout
from keras_curvature.engines.options import Options
from keras_curvature.engines.taylor import registry
from keras_curvature.engines.tensorflow import (
    distribution,
    fixed_batch,
    parallel_halves,
    shared_functions,
)
from keras_curvature.engines.tensorflow.compilation import compiled, standing_alone
from keras_curvature.engines.tensorflow.fingerprint import fingerprint
from keras_curvature.engines.tensorflow.flat_function import FlatFunction, flatten
from keras_curvature.engines.tensorflow.op_emission import widened
from keras_curvature.engines.tensorflow.private import (
    inside_xla,
    unobserved,
    watched_by_tapes,
)
from keras_curvature.typing import Model, Structure

Compute = Callable[..., dict[str, tf.Tensor]]

KEPT_PER_MODEL = 32
"""Traced functions kept for one model; beyond that the least recently used one goes."""


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

    @property
    def _runs_op_by_op(self) -> bool:
        """Whether its graph takes no turns that would have to be taken one by one."""
        f = self.f
        plain = self.strategy is None and f.batch is None
        return plain and not f.activity.resists_vectorising

    def function(
        self,
        compute: Compute,
        tensors: Sequence[tf.Tensor],
        constants: Sequence[tf.Tensor] = (),
        *,
        halved: bool = False,
        shared: bool = False,
        once: bool = False,
    ) -> Compute:
        """`compute(*tensors, *constants)` compiled for tensors like these with any batch.

        Compiled once for all models of one graph where that is known to be the same, and on first
        use, here and not by calling a `tf.function`, which warns of retracing
        when the same code is compiled for many models.

        Args:
            compute: kept by its code and the constants in its closure, see `computation_key`.
            tensors: have the examples as their first axis.
            constants: do not; they are the same for all examples.
            halved: in two halves side by side.
            shared: shared out over the devices of the strategy.
            once: for a single call: not compiled where running it op by op takes less.
        """
        specs = [tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in tensors]
        specs += [tf.TensorSpec(t.shape, t.dtype) for t in constants]
        count = len(tensors)
        # A function for all models of the graph cannot be differentiated.
        for_all = self.strategy is None and not watched_by_tapes()
        for_all = for_all and self.f.traced.identity is not None
        of = (self.f.identity, key_of(compute), registry.revision())
        key = (*of, count, tuple(specs), halved, shared, for_all)
        if key not in self.compiled:

            def whole(*given: tf.Tensor) -> dict[str, tf.Tensor]:
                of_examples = with_constants(compute, given[count:])
                if halved:
                    of_examples = parallel_halves.side_by_side(of_examples)
                if shared:
                    of_examples = distribution.shared_out(of_examples, self.strategy)
                return of_examples(*given[:count])

            if once and self._runs_op_by_op:
                return standing_alone()(whole)
            with standing_alone():
                self.compiled[key] = (
                    shared_functions.shared(self.f.traced, key, whole, specs)
                    if for_all
                    else compiled(whole, specs)
                )
        return self.compiled[key]


def with_constants(compute: Compute, constants: Sequence[tf.Tensor]) -> Compute:
    """`compute` as a function of its first tensors, with `constants` behind them."""
    return lambda *tensors: compute(*tensors, *constants)


@dataclass(frozen=True)
class BoundModel:
    """A model and a batch, ready to be differentiated.

    Attributes:
        evaluator: the traced model.
        inputs: the batch.
        result_dtype: in which results are given.
        asked: for `engine=`.
    """

    evaluator: Evaluator
    inputs: Inputs
    result_dtype: tf.DType
    asked: str

    @property
    def f(self) -> FlatFunction:
        """The model as a function of one vector."""
        return self.evaluator.f

    def choice(self, names: Collection[str]) -> EngineChoice:
        """Which engine computes these quantities, and why."""
        return self.evaluator.choice(self.asked, names)

    def engine_for(self, names: Collection[str]) -> Engine:
        """The engine that computes these quantities."""
        return ENGINES[self.choice(names).name]

    def layouts(self, name: str) -> tuple[Layout, ...]:
        """What lies along the axes of a flat result."""
        out, arg = self.f.outputs, self.f.inputs
        if name == quantities.HESSIAN:
            return out, arg, arg
        if name in (quantities.JACOBIAN, quantities.DIAGONAL, quantities.PRODUCT):
            return out, arg
        return (out,)


@unobserved()
def bind(
    model: Model, x: Structure, options: Options, *, in_float64: bool | None = None
) -> BoundModel:
    """Checks the batch, and traces the model unless that was done before.

    Args:
        model: the model.
        x: the batch.
        options: the caller's options.
        in_float64: evaluate in float64 whatever the results' dtype; `None` where the engine asked
            for needs it.
    """
    if in_float64 is None:
        in_float64 = needs_float64(options.engine)
    inside = tf.float64 if in_float64 else options.narrowest
    inputs = prepare(model, x)
    key = (
        inputs.specs,
        inputs.names,
        repr(inputs.structure),
        inputs.masked,
        options.output,
        options.wrt,
        options.columns,
        None if options.columns is None else inputs.columns,
        inside.name,
    )

    def make(strategy: tf.distribute.Strategy | None) -> Evaluator:
        f = flatten(model, inputs, options.output, options.wrt, inside, options.columns)
        any_number = fixed_batch.rows(f.fetches) is None
        return Evaluator(f, strategy, any_number and warn_if_coupled(f, inputs.leaves))

    evaluator = _evaluator(model, key, make)
    whole = evaluator.f
    dtype = widened(whole.native, options.narrowest)
    batch = fixed_batch.size(inputs, whole.fetches, coupled=evaluator.coupled)
    if batch is None:
        return BoundModel(evaluator, inputs, dtype, options.engine)
    placed = fixed_batch.placed(inputs, batch)

    def make_again(strategy: tf.distribute.Strategy | None) -> Evaluator:
        f = dataclasses.replace(whole, batch=batch)
        return Evaluator(f, strategy, warn_if_coupled(f, placed.leaves))

    evaluator = _evaluator(model, (key, batch), make_again)
    return BoundModel(evaluator, placed, dtype, options.engine)


MakeEvaluator = Callable[[tf.distribute.Strategy | None], Evaluator]

_evaluators: weakref.WeakKeyDictionary[Any, OrderedDict[Hashable, Evaluator]]
_evaluators = weakref.WeakKeyDictionary()


def forget(model: Model) -> None:
    """Has the model traced anew when it is bound next."""
    if isinstance(model, keras.Layer):
        _evaluators.pop(model, None)


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
