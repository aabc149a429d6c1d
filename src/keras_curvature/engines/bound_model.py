"""A model and a batch, ready to be differentiated: traced and compiled once."""

from __future__ import annotations

import dataclasses
import math
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_curvature.engines import quantities
from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.batch_coupling import warn_if_coupled
from keras_curvature.engines.computation_key import key_of
from keras_curvature.engines.dispatch import ENGINES, EngineChoice, choose, needs_float64
from keras_curvature.engines.engine import Engine
from keras_curvature.engines.fingerprint import fingerprint
from keras_curvature.engines.inputs import Inputs, prepare
from keras_curvature.engines.layout import Layout
from keras_curvature.engines.options import Options
from keras_curvature.engines.requests import Asked, resolved
from keras_curvature.engines.taylor import registry
from keras_curvature.engines.traced_function import TracedFunction
from keras_curvature.typing import Model, Structure, Tensor

compilation = own_module("compilation")
distribution = own_module("distribution")
fixed_batch = own_module("fixed_batch")
flat_function = own_module("flat_function")
running = own_module("running")

Compute = Callable[..., dict[str, Tensor]]

KEPT_PER_MODEL = 32
"""Traced functions kept for one model; beyond that the least recently used one goes."""


@dataclass(eq=False)
class Evaluator:
    """A traced model with everything that has been compiled for it."""

    f: TracedFunction
    mirrored: bool = False
    """Whether its variables have a copy on each of several devices."""

    coupled: bool = False
    """Whether the examples of a batch have been seen to influence each other."""

    compiled: dict[Hashable, Compute] = field(default_factory=dict)
    choices: dict[Hashable, EngineChoice] = field(default_factory=dict)
    plans: dict[Hashable, tuple[int, int]] = field(default_factory=dict)
    halving: dict[Hashable, float] = field(default_factory=dict)
    fitting: dict[Hashable, int] = field(default_factory=dict)
    """Examples at a time, where the memory ran out with more."""

    def choice(self, asked: str, names: Collection[str]) -> EngineChoice:
        """The engine for these quantities, settled once."""
        key = (asked, frozenset(names))
        if key not in self.choices:
            self.choices[key] = choose(asked, self.f, names)
        return self.choices[key]

    def plan(self, engine: Engine[Any], names: Collection[str]) -> tuple[int, int]:
        """Examples and directions at once, settled once."""
        key = (engine.name, frozenset(names))
        if key not in self.plans:
            self.plans[key] = engine.plan(self.f, names)
        return self.plans[key]

    def halved_from(self, engine: Engine[Any], names: Collection[str]) -> float:
        """From how many examples on these quantities are computed in halves, settled once."""
        return self._least(
            (engine.name, frozenset(names)), lambda: engine.halved_from(self.f, names)
        )

    def halved_along(self, engine: Engine[Any], directions: int) -> float:
        """The same for so many directions at each example."""
        return self._least((engine.name, directions), lambda: engine.halves(self.f, directions))

    def _least(self, asked: Hashable, find: Callable[[], float]) -> float:
        key = (asked, compilation.inside_xla())
        if key not in self.halving:
            self.halving[key] = math.inf if self.coupled else find()
        return self.halving[key]

    def function(
        self,
        compute: Compute,
        tensors: Sequence[Tensor],
        constants: Sequence[Tensor] = (),
        *,
        halved: bool = False,
        once: bool = False,
    ) -> Compute:
        """`compute(*tensors, *constants)` compiled for tensors like these with any batch.

        Compiled once, for all models of one graph where that is known to be the same.

        Args:
            compute: kept by its code and the constants in its closure, see `computation_key`.
            tensors: have the examples as their first axis.
            constants: do not; they are the same for all examples.
            halved: in two halves side by side.
            once: for a single call: not compiled where running it op by op takes less.
        """
        specs = running.specs_like(tensors, constants)
        how = running.way(self.f, mirrored=self.mirrored, halved=halved)
        of = (self.f.identity, key_of(compute), registry.revision())
        key = (*of, len(tensors), specs, how)
        if key not in self.compiled:
            plainly = running.op_by_op(self.f, compute, mirrored=self.mirrored) if once else None
            if plainly is not None:
                return plainly
            self.compiled[key] = running.function(self.f, key, compute, specs, len(tensors), how)
        return self.compiled[key]


@dataclass(frozen=True)
class BoundModel:
    """A model and a batch, ready to be differentiated.

    Attributes:
        model: itself, which its traces do not keep.
        evaluator: the traced one.
        inputs: the batch.
        result_dtype: in which results are given.
        asked: for `engine=`.
    """

    model: Model
    evaluator: Evaluator
    inputs: Inputs
    result_dtype: Any
    asked: str

    @property
    def f(self) -> Any:
        """The model as a function of one vector: a `TracedFunction`, as the backend has it."""
        return self.evaluator.f

    def choice(self, names: Collection[str]) -> EngineChoice:
        """Which engine computes these quantities, and why."""
        return self.evaluator.choice(self.asked, names)

    def engine_for(self, names: Collection[str]) -> Engine[Any]:
        """The engine that computes these quantities."""
        return ENGINES[self.choice(names).name]

    def as_taken(self, dtype: Any = None) -> BoundModel:
        """The same at the points that the model is given: rounded as it rounds what it takes.

        So that float64 looks at the points of float32, and not at others beside them: of Unix time
        in a table of float64 they lie a minute apart.

        Args:
            dtype: in which the model is evaluated; `None` for that of `f`.
        """
        dtype = self.f.dtype if dtype is None else dtype
        size = xp.itemsize(dtype)

        def rounded(leaf: Tensor, spec: Any) -> Tensor:
            if not xp.is_floating(spec.dtype):
                return leaf
            # An integer of as many bytes has more digits.
            least = size + 1 if xp.is_floating(leaf.dtype) else size
            return xp.cast(leaf, dtype) if xp.itemsize(leaf.dtype) >= least else leaf

        given, specs = self.inputs.leaves, self.inputs.specs
        leaves = (*map(rounded, given, specs), *given[len(specs) :])
        return dataclasses.replace(self, inputs=dataclasses.replace(self.inputs, leaves=leaves))

    def quantities_of(self, asked: Mapping[str, Asked]) -> dict[str, str]:
        """What each name that a user gave stands for."""
        columns = self.inputs.columns[0] if len(self.inputs.columns) == 1 else None
        if columns is not None and self.f.inputs.shapes != ((len(columns),),):
            columns = None
        return resolved(asked, self.f.inputs, self.f.outputs, columns)

    def layouts(self, name: str) -> tuple[Layout, ...]:
        """What lies along the axes of a flat result."""
        out, arg = self.f.outputs, self.f.inputs
        if name == quantities.HESSIAN:
            return out, arg, arg
        if name == quantities.DIVERGENCE:
            return ()
        if name in (quantities.JACOBIAN, quantities.DIAGONAL, quantities.PRODUCT):
            return out, arg
        return (out,)


@compilation.unobserved()
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
    inside = xp.dtype_of("float64") if in_float64 else options.narrowest
    inputs = prepare(model, x)
    key = (
        inputs.specs,
        inputs.names,
        repr(inputs.structure),
        inputs.masked,
        inputs.counted,
        options.output,
        options.wrt,
        options.columns,
        None if options.columns is None else inputs.columns,
        xp.name_of(inside),
    )

    def make(mirrored: bool) -> Evaluator:
        f = flat_function.flatten(
            model, inputs, options.output, options.wrt, inside, options.columns
        )
        any_number = fixed_batch.rows(f) is None
        return Evaluator(f, mirrored, any_number and warn_if_coupled(f, inputs.leaves))

    evaluator = _evaluator(model, key, make)
    whole: Any = evaluator.f
    dtype = xp.widened(whole.native, options.narrowest)
    batch = fixed_batch.size(inputs, whole, coupled=evaluator.coupled)
    if batch is None:
        return BoundModel(model, evaluator, inputs, dtype, options.engine)
    placed = fixed_batch.placed(inputs, batch)

    def make_again(mirrored: bool) -> Evaluator:
        f = dataclasses.replace(whole, batch=batch)
        return Evaluator(f, mirrored, warn_if_coupled(f, placed.leaves))

    evaluator = _evaluator(model, (key, batch), make_again)
    return BoundModel(model, evaluator, placed, dtype, options.engine)


MakeEvaluator = Callable[[bool], Evaluator]

_evaluators: weakref.WeakKeyDictionary[Any, OrderedDict[Hashable, Evaluator]]
_evaluators = weakref.WeakKeyDictionary()


def forget(model: Model) -> None:
    """Has the model traced anew when it is bound next."""
    if isinstance(model, keras.Layer):
        _evaluators.pop(model, None)


def _evaluator(model: Model, key: Hashable, make: MakeEvaluator) -> Evaluator:
    """The traced model for `key`, if the model and the rules are still what they were."""
    if not isinstance(model, keras.Layer):
        return make(False)  # a function's closure may have changed: never reuse
    kept = _evaluators.setdefault(model, OrderedDict())
    key = (key, fingerprint(model), registry.revision())
    if key not in kept:
        kept[key] = make(distribution.is_mirrored(model))
        if len(kept) > KEPT_PER_MODEL:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]
