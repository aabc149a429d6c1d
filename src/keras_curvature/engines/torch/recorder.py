"""Writes down what PyTorch does while a model runs: every ATen operation, below autograd.

A mode sees what is left when PyTorch has taken its functions apart. Tensors stand for slots by
their identity. What is written in place becomes a new result, as programs have no places.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from keras.src.backend.common import global_state
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from keras_curvature.engines.programs.program import Instruction, Operation, Slot
from keras_curvature.engines.torch.calls import ORDERS, Aval, Call, Written, call_of, type_of
from keras_curvature.engines.torch.decompositions import DECOMPOSITIONS
from keras_curvature.engines.torch.even_powers import EvenPowers
from keras_curvature.engines.torch.forward_context import Context
from keras_curvature.engines.torch.generators import Seeded
from keras_curvature.engines.torch.in_place import RENAMING, defaults, functional
from keras_curvature.engines.torch.memory import Memory
from keras_curvature.engines.torch.places import Places
from keras_curvature.engines.torch.refusals import DependsOnNumbersError, NotTracedError

aten = torch.ops.aten

SAME = {"alias", "lift", "lift_fresh", "lift_fresh_copy"}
"""Operations that give what they are given."""


REFUSED = {"resize_", "resize_as_", "set_", "_resize_output_"}
"""Operations that change what lies in memory under other tensors."""


@dataclass(frozen=True)
class Decision:
    """A whole number or truth value that the model took out of a tensor, and went by.

    Attributes:
        slot: of the tensor.
        number: what it was.
    """

    slot: Slot
    number: int


class Recorder(TorchDispatchMode):
    """Writes down operations for as long as it is entered."""

    def __init__(self, buffers: Sequence[torch.Tensor] = ()) -> None:
        """Makes one that has seen nothing.

        Args:
            buffers: tensors that are weights too if they are read.
        """
        super().__init__()
        self._buffers = {id(tensor) for tensor in buffers}
        self.avals: dict[Slot, Aval] = {}
        self.weights: dict[int, tuple[torch.Tensor, Slot]] = {}
        self._lists: list[list[Instruction]] = [[]]
        self._places = Places(self._step)
        self.decisions: list[Decision] = []
        self._before: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._dependent: set[Slot] = set()
        self._meant = False
        self._generators: dict[torch.Generator, torch.Generator] = {}
        self._even_powers = EvenPowers()
        self._order = 0
        self._number = 0

    def argument(self, tensor: torch.Tensor) -> Slot:
        """Has a slot stand for a tensor that the program is given."""
        slot = self._slot(tensor)
        self._dependent.add(slot)
        self._places.put(tensor, slot)
        return slot

    def weight(self, tensor: torch.Tensor) -> Slot:
        """Has a slot stand for a tensor that is read and may have other numbers later."""
        known = self.weights.get(id(tensor))
        if known is None:
            known = self.weights[id(tensor)] = (tensor, self.argument(tensor))
        return known[1]

    def source_of(self, value: Any) -> Any:
        """The slot of a tensor, or the tensor itself if it is a constant."""
        if not isinstance(value, torch.Tensor):
            return value
        slot = self._places.slot_of(value)
        if slot is not None:
            return slot
        if isinstance(value, torch.nn.Parameter) or id(value) in self._buffers:
            return self.weight(value)
        return value

    def is_dependent(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor depends on what the program is given."""
        source = self.source_of(tensor)
        return isinstance(source, Slot) and source in self._dependent

    def instructions(self) -> list[Instruction]:
        """All that was written down."""
        return self._lists[0]

    def negated(self, instruction: Instruction) -> Instruction:
        """The negative of what an operation on one number is given."""
        operation, (x,) = instruction.operation, instruction.inputs
        call, inputs = call_of(aten.neg.default, (x,), {}, lambda x: x)
        slot, (aval,) = Slot(len(self.avals)), operation.avals
        self.avals[slot] = aval
        changed = replace(operation, type="neg", primitive=call, params=call.params)
        return Instruction(replace(changed, results=(aval,)), tuple(inputs), (slot,))

    def restore(self) -> None:
        """Gives back their numbers to weights that were written in place."""
        with torch.no_grad():
            for tensor, before in reversed(self._before):
                tensor.copy_(before)
        self._before.clear()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One operation: done, and written down."""
        kwargs = kwargs or {}
        taken_apart = DECOMPOSITIONS.get(func)
        if taken_apart is not None:
            with self:
                found = taken_apart(*args, **kwargs)
            if found is not NotImplemented:
                return found
        without_root = self._even_powers.power(func, args)
        if without_root is not None:
            with self:
                return without_root()
        if func._can_decompose():  # made of others, which PyTorch does above here for a model's own
            with self:
                return func.decompose(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name in REFUSED or func._overloadname == "out":
            raise NotTracedError(
                f"The model calls `torch.{name}`, which changes memory under other tensors: there "
                "is no derivative of that. Write it so that it gives a new tensor."
            )
        if name == "_local_scalar_dense":
            return self._number_of(func, args)
        if func in RENAMING:
            return self._renamed(func, args, kwargs)
        noted, given = kwargs, kwargs.get("generator")
        if given is not None:
            own = self._generators.setdefault(given, given.clone_state())
            noted = kwargs | {"generator": Seeded(own)}
            kwargs = kwargs | {"generator": own}
        if func._schema.is_mutable:
            return self._written(func, args, kwargs, noted)
        output = func(*args, **kwargs)
        if func is aten.as_strided.default and self._places.look(output):
            return output
        if name in SAME or (name == "detach" and not self._meant):
            self._same(args[0], output)
        else:
            self._note(func, args, noted, output)
            self._even_powers.note(func, args, kwargs, output)
        return output

    def _number_of(self, func: Any, args: Any) -> Any:
        (tensor,) = args
        number = func(tensor)
        if self.is_dependent(tensor):
            if isinstance(number, (float, complex)):
                raise DependsOnNumbersError(
                    "The model takes a number out of a tensor that depends on its inputs or "
                    "weights, as `float()` and `.item()` do, where its derivative is lost. Leave "
                    "it a tensor."
                )
            self.decisions.append(Decision(self.source_of(tensor), number))
        return number

    def _slot(self, like: torch.Tensor) -> Slot:
        slot = Slot(len(self.avals))
        self.avals[slot] = Aval(tuple(like.shape), like.dtype)
        return slot

    def _same(self, given: Any, output: torch.Tensor) -> None:
        source = self.source_of(given)
        if isinstance(source, Slot) and output is not given:
            self._places.put(output, source)

    def _note(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        call, inputs = call_of(func, args, kwargs, self.source_of)
        kind = "stop_gradient" if func is aten.detach.default else type_of(call, inputs)
        results = [y for y in pytree.tree_leaves(output) if isinstance(y, torch.Tensor)]
        for y, slot in zip(results, self._step(kind, call, inputs, results), strict=True):
            self._places.put(y, slot)

    def _step(
        self,
        kind: str,
        call: Call | Written | Memory,
        inputs: Sequence[Any],
        like: Sequence[torch.Tensor],
    ) -> list[Slot]:
        """Writes an instruction down, whose results are like some tensors."""
        slots = [self._slot(y) for y in like]
        avals = tuple(self.avals[x] if isinstance(x, Slot) else _aval(x) for x in inputs)
        results = tuple(self.avals[slot] for slot in slots)
        if not self._dependent.isdisjoint(x for x in inputs if isinstance(x, Slot)):
            self._dependent.update(slots)
        operation = Operation(kind, call, call.params, _scope(), self._number, avals, results)
        self._number += 1
        self._lists[-1].append(Instruction(operation, tuple(inputs), tuple(slots)))
        return slots

    def _renamed(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A tensor that is looked at in another way from here on."""
        call, inputs = call_of(RENAMING[func], args, kwargs, self.source_of)
        output = func(*args, **kwargs)
        (slot,) = self._step(call.type, call, inputs, [output])
        self._places.put(args[0], slot)
        return output

    def _written(self, func: Any, args: Any, kwargs: Any, noted: Any) -> Any:
        """An operation in place, as one that gives a new result."""
        if func is aten.copy_.default:
            return self._copied(*args)
        instead, tensor = functional(func, args, noted)
        taken_apart = DECOMPOSITIONS.get(instead)
        if taken_apart is not None:
            with self:
                found = taken_apart(*args, **kwargs)
                if found is not NotImplemented:
                    return tensor.copy_(found)
        self._keep(tensor)
        call, inputs = call_of(instead, args, defaults(func, args) | noted, self.source_of)
        output = func(*args, **kwargs)
        (slot,) = self._step(call.type, call, inputs, [tensor])
        self._places.store(tensor, slot)
        return output

    def _copied(self, tensor: torch.Tensor, given: torch.Tensor, *_: Any) -> torch.Tensor:
        """Numbers that are written in the place of all that were there."""
        self._keep(tensor)
        source = self.source_of(given)
        if given.dtype != tensor.dtype or not isinstance(source, Slot):
            as_it_is = {"dtype": tensor.dtype}
            source = self._derived(aten._to_copy.default, (source,), given, as_it_is, tensor.dtype)
        if given.shape != tensor.shape:
            source = self._derived(aten.expand.default, (source, list(tensor.shape)), tensor)
        tensor.copy_(given)
        self._places.store(tensor, source)
        return tensor

    def _keep(self, tensor: torch.Tensor) -> None:
        """Remembers the numbers of what is written to and is not made here."""
        if id(tensor) in self.weights or not self._places.know(tensor):
            self._before.append((tensor, tensor.detach().clone()))

    def _derived(
        self,
        func: Any,
        args: Sequence[Any],
        like: torch.Tensor,
        kwargs: Any = None,
        dtype: torch.dtype | None = None,
    ) -> Slot:
        call, inputs = call_of(func, args, kwargs or {}, lambda x: x)
        with torch.utils._python_dispatch._disable_current_modes():
            shaped = torch.empty(like.shape, dtype=dtype or like.dtype, device="meta")
        return self._step(call.type, call, inputs, [shaped])[0]

    @contextlib.contextmanager
    def meant(self) -> Iterator[None]:
        """A `detach` here is one that somebody has asked for."""
        before, self._meant = self._meant, True
        try:
            yield
        finally:
            self._meant = before

    def apply(self, function: Any, args: Sequence[Any]) -> Any:
        """An `autograd.Function`: what it gives, and its gradient as its author has written it."""
        given = [x.clone() if isinstance(x, torch.Tensor) else x for x in args]
        self._lists.append([])
        context = Context([isinstance(x, torch.Tensor) for x in given])
        if function.setup_context is torch.autograd.Function.setup_context:
            output = function.forward(context, *given)
        else:
            output = function.forward(*given)
            function.setup_context(context, tuple(given), output)
        alone = isinstance(output, torch.Tensor)
        outputs = [output] if alone else list(output)
        results = [y for y in outputs if isinstance(y, torch.Tensor)]
        ends = [self.source_of(y) for y in results]
        upstream = [torch.ones_like(y) for y in results]
        seeds = [self.argument(seed) for seed in upstream]
        gradients = self._gradients(function, context, upstream, given)
        instructions = self._lists.pop()
        tensors = [x for x in given if isinstance(x, torch.Tensor)]
        arguments = [self.source_of(x) for x in tensors]
        known = {*arguments, *seeds, *(y for step in instructions for y in step.outputs)}
        read = [x for step in instructions for x in step.inputs] + ends + (gradients or [])
        more = dict.fromkeys(x for x in read if isinstance(x, Slot) and x not in known)
        written = Written(
            function.__name__,
            tuple(instructions),
            (*arguments, *more),
            tuple(ends),
            tuple(seeds),
            None if gradients is None else tuple(gradients),
        )
        with torch.utils._python_dispatch._disable_current_modes():
            results = [y.clone() for y in results]
        slots = self._step("autograd_function", written, written.arguments, results)
        for y, slot in zip(results, slots, strict=True):
            self._places.put(y, slot)
        if alone:
            return results[0]
        found = iter(results)
        return type(output)(next(found) if isinstance(y, torch.Tensor) else y for y in outputs)

    def _gradients(
        self, function: Any, context: Any, upstream: Sequence[Any], given: Sequence[Any]
    ) -> list[Any] | None:
        """By the tensors among the arguments of an `autograd.Function`, as its author wrote them.

        A gradient may be another such function, which has the first one for its own gradient: none
        is recorded that only derivatives of a higher order than `ORDERS` need.
        """
        if self._order == ORDERS:
            return None
        self._order += 1
        try:
            back = function.backward(context, *upstream)
        finally:
            self._order -= 1
        back = list(back) if isinstance(back, (tuple, list)) else [back]
        return [
            self.source_of(g) if isinstance(g, torch.Tensor) and x.is_floating_point() else None
            for x, g in zip(given, [*back, *[None] * len(given)], strict=False)
            if isinstance(x, torch.Tensor)
        ]


def _aval(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return Aval(tuple(value.shape), value.dtype)
    return value


def _scope() -> str:
    """The names of the layers that are being called, with slashes between."""
    stack = global_state.get_global_attribute("name_scope_stack") or []
    return "/".join(str(entry.name) for entry in stack)
