"""A model as a function from one vector to one vector per example, ready for the engines."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from keras_curvature.engines import chunking
from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.activity import Activity
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.layout import Layout
from keras_curvature.engines.programs.program import Slot
from keras_curvature.engines.programs.trace import Trace

fixed_batch = own_module("fixed_batch")
interpreter = own_module("interpreter")
weights = own_module("weights")


@dataclass(frozen=True, eq=False)
class ProgramFunction:
    """`f(z, rest)`: `z` of shape `(batch, width)` to `(batch, outputs)`.

    Attributes:
        traced_for: traces the model for so many examples.
        examples: how many it has been traced for first.
        variables: that it reads.
        chosen: the indexes of the inputs that `z` stands for; empty where it is inside.
        native: the widest float dtype among the model's own inputs and outputs.
        dtype: the dtype of `z` and of the result; narrower floats inside become this one.
        inputs: how the arrays lie in `z`.
        outputs: how the arrays lie in the result.
        activity: what is known of the program.
        layer: whose output `z` is or is part of, `None` of the model's inputs.
        constants: arrays that the model holds besides its variables.
        mended: whether derivatives are mended and narrower floats widened; `False` for the program
            as the backend has it.
        batch: how many examples it takes at a time, if not any number.
        traced: stands for the traces.
    """

    traced_for: Callable[[int], Trace]
    examples: int
    variables: tuple[Any, ...]
    chosen: tuple[int, ...]
    native: Any
    dtype: Any
    inputs: Layout
    outputs: Layout
    activity: Activity
    layer: str | None = field(default=None, kw_only=True)
    constants: tuple[Any, ...] = field(default=(), kw_only=True)
    mended: bool = field(default=True, kw_only=True)
    batch: int | None = field(default=None, kw_only=True)
    traced: Hashable = field(default_factory=object, kw_only=True)

    def __eq__(self, other: object) -> bool:
        """Whether it computes the same from the same variables."""
        if not isinstance(other, ProgramFunction):
            return NotImplemented
        return self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    @property
    def identity(self) -> Hashable:
        """Equal for two functions that compute the same from the same variables."""
        return self.traced, self.dtype, self.mended, self.batch

    def weights(self) -> list[Any]:
        """The values of its variables: those of the computation at hand, or of now."""
        return list(map(weights.value_of, self.variables))

    def with_weights(self, values: Sequence[Any]) -> AbstractContextManager[None]:
        """Its variables have these values for as long as this lasts."""
        return weights.given(self.variables, values)

    def __call__(self, z: Any, rest: Sequence[Any]) -> Any:
        """The outputs side by side."""
        return self.outputs.join(self.apart(z, rest))

    def apart(self, z: Any, rest: Sequence[Any]) -> list[Any]:
        """The outputs one by one."""

        def compute(given: Sequence[Any]) -> list[Any]:
            z, *others = given
            traced = self.traced_at(z, others)
            return self._run(traced, self.feeds(traced, z, others), traced.outputs)

        return [xp.cast(y, z.dtype) for y in self._in_place(compute, [z, *rest])]

    def _in_place(
        self, compute: Callable[[Sequence[Any]], Sequence[Any]], given: Sequence[Any]
    ) -> Sequence[Any]:
        """`compute` on rows, behind which stand their places where the model has such."""
        if self.batch is None:
            return compute(given)
        *rows, place = given
        return fixed_batch.by_batch(compute, rows, place, self.batch)

    def traced_at(self, z: Any, rest: Sequence[Any]) -> Trace:
        """What the model does at these points."""
        return self.traced_for(z.shape[0])

    def sources(self, traced: Trace) -> tuple[Slot, ...]:
        """The slots that `z` stands for."""
        if traced.tap is not None:
            return (traced.tap,)
        return tuple(traced.inputs[i] for i in self.chosen)

    def feeds(self, traced: Trace, z: Any, rest: Sequence[Any]) -> dict[Slot, Any]:
        """What is given to the program: weights, the other inputs, and the parts of `z`."""
        sources = self.sources(traced)
        others = [slot for slot in traced.inputs if slot not in sources]
        feeds = self._given_weights(traced) | dict(zip(others, rest, strict=True))
        for slot, part in zip(sources, self.inputs.split(z), strict=True):
            feeds[slot] = self._wide(part, traced.aval(slot).dtype)
        return feeds

    def point(self, leaves: Sequence[Any]) -> tuple[Any, tuple[Any, ...]]:
        """The `z` and the `rest` of a batch of the model's inputs."""
        traced = self.traced_for(self.batch or leaves[0].shape[0])
        count = len(traced.inputs)
        places = list(map(xp.constant, leaves[count:]))
        given = {
            slot: self._wide(leaf, traced.aval(slot).dtype)
            for slot, leaf in zip(traced.inputs, leaves[:count], strict=True)
        }
        sources = self.sources(traced)
        rest = (*(value for slot, value in given.items() if slot not in sources), *places)

        def compute(rows: Sequence[Any]) -> list[Any]:
            feeds = self._given_weights(traced) | dict(zip(given, rows, strict=True))
            return self._run(traced, feeds, sources)

        if traced.tap is None:
            found: Sequence[Any] = [given[slot] for slot in sources]
        else:
            found = self._in_place(compute, [*given.values(), *places])
        return self.inputs.join([xp.cast(x, self.dtype) for x in found]), rest

    def _run(self, traced: Trace, feeds: Mapping[Slot, Any], fetches: Sequence[Any]) -> list[Any]:
        return interpreter.run(traced.program, feeds, fetches, self._narrowest, mended=self.mended)

    def _given_weights(self, traced: Trace) -> dict[Slot, Any]:
        values = map(weights.value_of, traced.variables)
        pairs = zip(traced.weights, values, strict=True)
        return {slot: self._wide(value, value.dtype) for slot, value in pairs}

    def _wide(self, value: Any, dtype: Any) -> Any:
        return xp.cast(xp.constant(value), xp.widened(dtype, self._narrowest))

    @property
    def _narrowest(self) -> Any:
        """The narrowest float dtype inside."""
        return self.dtype if self.mended else xp.dtype_of("float16")

    def rows_at_once(self, vectors: int = 2) -> int:
        """How many rows fit into memory that carry so many points or directions each."""
        numbers = self.activity.activations + vectors * self.inputs.width
        return chunking.rows_at_once(numbers, self.dtype)

    def rows_forward(self) -> int:
        """How many rows with a direction each fit if they go through once, forward."""
        found = self.activity
        return chunking.rows_forward(found.activations, found.widest, self.inputs.width, self.dtype)

    @functools.cached_property
    def narrowest(self) -> Any:
        """The narrowest float dtype that the model itself computes in."""
        traced = self.traced_for(self.examples)
        needed = traced.program.needed(traced.outputs, [])
        written = (traced.aval(slot).dtype for step in needed for slot in step.outputs)
        floats = [dtype for dtype in written if xp.is_floating(dtype)]
        return min((self.native, *floats), key=xp.itemsize)

    def as_it_is(self) -> ProgramFunction:
        """The function op by op as the backend has it: nothing mended or widened."""
        return replace(self, mended=False)

    @functools.cached_property
    def is_held(self) -> bool:
        """Whether the outputs depend on more than `z`: on other inputs or columns."""
        traced = self.traced_for(self.examples)
        sources = self.sources(traced)
        held = set(traced.inputs) - set(sources)
        needed = traced.program.needed(traced.outputs, sources)
        read = {x for instruction in needed for x in instruction.inputs if isinstance(x, Slot)}
        return not held.isdisjoint(read)

    @property
    def draws(self) -> bool:
        """Whether an output needs random numbers."""
        return False

    @property
    def input_names(self) -> tuple[str, ...]:
        """One per array in `z`."""
        return self.inputs.names

    @property
    def output_names(self) -> tuple[str, ...]:
        """One per array in the result, `""` if there is but one."""
        return self.outputs.names
