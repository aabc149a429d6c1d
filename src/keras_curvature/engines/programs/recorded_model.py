"""A model that has run on a batch, ready for jets to be pushed through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.programs.flat_function import ProgramFunction
from keras_curvature.engines.programs.program import Instruction, Slot
from keras_curvature.engines.programs.propagation import propagate
from keras_curvature.engines.programs.structure import Cut, active_instructions, linear_entry
from keras_curvature.engines.programs.trace import Trace
from keras_curvature.engines.taylor.jets import Base, Jet, is_shared, spread
from keras_curvature.engines.taylor.modes import Collapsed, Gradients, Mode

first_derivatives = own_module("first_derivatives")
gram_factor = own_module("taylor.gram_factor")
interpreter = own_module("interpreter")

read, run_through = interpreter.read, interpreter.run_through

Values = dict[Slot, Any]


@dataclass(frozen=True, eq=False)
class RecordedModel:
    """What a model did on a batch.

    Attributes:
        f: the model.
        traced: as it is for so many examples.
        z: the batch, `(n, d)`.
        given: what was fed.
        values: of all slots.
        needed: the instructions that the outputs take.
        active: those of them that depend on `z`.
    """

    f: ProgramFunction
    traced: Trace
    z: Any
    given: Mapping[Slot, Any]
    values: Values
    needed: tuple[Instruction, ...]
    active: tuple[Instruction, ...]

    @property
    def sources(self) -> tuple[Slot, ...]:
        """The slots that `z` stands for."""
        return self.f.sources(self.traced)

    @property
    def value(self) -> Any:
        """The outputs laid flat, `(n, m)`."""
        return self._outputs(self.values)

    def _outputs(self, values: Values) -> Any:
        found = [read(y, values, self.f.dtype) for y in self.traced.outputs]
        return self.f.outputs.join([xp.cast(y, self.z.dtype) for y in found])

    def entry(self) -> Cut | None:
        """The narrowest result of the model's linear beginning."""
        return linear_entry(self.active, self.sources, self.traced.outputs, self.traced.program)

    def axes(self) -> Any:
        """The unit vectors, `(d, d)`."""
        return xp.eye(self.f.inputs.width, dtype=self.z.dtype)

    def start(self, directions: Any = None) -> dict[Slot, Jet]:
        """The jets of the sources, for directions `(k, n or 1, d)` or, for `None`, all axes."""
        rows = self.axes()[:, None] if directions is None else directions
        k, examples, d = rows.shape
        parts = self.f.inputs.split(xp.reshape(rows, (-1, d)))
        first = self.values[self.sources[0]]
        alone = directions is None and len(self.sources) == 1 and first.ndim == 2
        found = {}
        for slot, part in zip(self.sources, parts, strict=True):
            x = self.values[slot]
            stack = xp.cast(xp.reshape(part, (k, examples, *part.shape[1:])), x.dtype)
            found[slot] = Jet(x, Base(stack, None, alone))
        return found

    def push(
        self,
        jets: Mapping[Slot, Jet],
        mode: Mode,
        instructions: Sequence[Instruction] | None = None,
    ) -> tuple[Any, Any]:
        """Pushes jets through to the outputs.

        Returns:
            First derivatives `(k, n, m)`, second ones `(k or 1, n, m)`.
        """
        active = dict(jets)
        steps = self.active if instructions is None else instructions
        propagate(steps, self.values, active, mode, self.f.dtype)
        found = [active.get(y) if isinstance(y, Slot) else None for y in self.traced.outputs]
        bases = [None if jet is None else mode.settle(jet).base for jet in found]
        seconds = self._flat([None if b is None else b.second for b in bases], mode.slices)
        if not mode.wants_first:
            return None, seconds
        return self._flat([b and b.first for b in bases], mode.directions), seconds

    def _flat(self, stacks: Sequence[Any], count: int) -> Any:
        columns = []
        n = self.z.shape[0]
        for stack, y, size in zip(stacks, self.traced.outputs, self.f.outputs.sizes, strict=True):
            if stack is None:
                columns.append(xp.zeros((count, n, size), self.z.dtype))
            else:
                whole = xp.reshape(spread(stack, self.values[y]), (count, n, size))
                columns.append(xp.cast(whole, self.z.dtype))
        return xp.concatenate(columns, axis=2) if len(columns) > 1 else columns[0]

    def along(self, rows: Any, mode: Mode, entry: Cut | None = None) -> tuple[Any, Any]:
        """First and second derivatives of the outputs along directions, as `push` gives them."""
        if entry is None:
            return self.push(self.start(rows), mode)
        return self.push(entry.start(self.values[entry.slot], rows), mode, entry.after)

    def entry_and_jacobian(self) -> tuple[Cut, Any] | None:
        """The linear beginning of the model and its jacobian `(d, width)`, if it has fewer rows."""
        d = self.f.inputs.width
        cut = self.entry()
        if cut is None or cut.width >= d:
            return None
        mode = Collapsed(d)
        active = dict(self.start())
        propagate(cut.before, self.values, active, mode, self.f.dtype)
        jet = active.get(cut.slot)
        if jet is None:
            return None
        base = mode.settle(jet).base
        if base.second is not None or not is_shared(base.first, self.values[cut.slot]):
            return None
        return cut, xp.reshape(base.first, (d, cut.width))

    def spanning_rows(self, jacobian: Any) -> Any:
        """As few directions, along which a Laplacian is the same."""
        return gram_factor.spanning_rows(jacobian)

    def gradients(self) -> Gradients:
        """The gradients of the outputs by every result on the way.

        By the gradients of what would be added to each: 0.
        """
        written = (s for instruction in self.active for s in instruction.outputs)
        slots = [s for s in written if xp.has_derivative(self.values[s].dtype)]
        zeros = {s: xp.zeros_like(self.values[s]) for s in slots}

        def outputs(added: Mapping[Slot, Any]) -> Any:
            return self._outputs(run_through(self.needed, self.given, self.f.dtype, added))

        found = first_derivatives.gradients_of_each(outputs, zeros)
        return {id(self.values[s]): found[s] for s in slots}


def record(f: ProgramFunction, z: Any, rest: Sequence[Any]) -> RecordedModel:
    """Runs a model and keeps what it did."""
    traced = f.traced_at(z, rest)
    given = f.feeds(traced, z, rest)
    needed = traced.program.needed(traced.outputs, given)
    values = run_through(needed, given, f.dtype)
    active = active_instructions(needed, f.sources(traced), traced.program)
    return RecordedModel(f, traced, z, given, values, tuple(needed), tuple(active))
