"""One call of an ATen operation: what is called, what it is given, and in which dtype it is run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from keras_curvature.engines.torch.arrays import widened
from keras_curvature.engines.torch.generators import Seeded

OPERANDS = {"self", "other", "exponent", "min", "max", "min_val", "max_val"}
"""Arguments that are inputs also where they are numbers: those of functions of each number."""


@dataclass(frozen=True)
class Aval:
    """The shape and the dtype of a tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)


@dataclass(frozen=True)
class Hole:
    """Where an input goes."""

    index: int


@dataclass(frozen=True, eq=False)
class Call:
    """What is called, with holes for its inputs.

    Attributes:
        function: of ATen.
        args: by place.
        kwargs: by name.
        params: what is given besides the inputs, by the names of the function's schema.
    """

    function: Any
    args: Any
    kwargs: Any
    params: dict[str, Any]
    _wide: dict[Any, Callable[[Sequence[Any]], Any]] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The function's name, whichever overload it is."""
        return str(self.function.overloadpacket.__name__)

    def run(self, inputs: Sequence[Any], dtype: Any = None) -> list[Any]:
        """The results for other inputs; narrower floats than `dtype` become this one."""
        found = self._wide.get(dtype)
        if found is None:
            found = self._wide[dtype] = _runner(self, dtype)
        output = found(inputs)
        if isinstance(output, torch.Tensor):
            return [output]
        return [y for y in pytree.tree_leaves(output) if isinstance(y, torch.Tensor)]


LAYOUTS = {
    torch.ops.aten.view.default: torch.ops.aten.reshape.default,
    torch.ops.aten._unsafe_view.default: torch.ops.aten.reshape.default,
    torch.ops.aten._reshape_alias.default: lambda x, size, stride: x.reshape(size),
}
"""What takes tensors that lie in memory in one way, and the same for any way."""


def _runner(call: Call, dtype: Any) -> Callable[[Sequence[Any]], Any]:
    function = LAYOUTS.get(call.function, call.function)
    if isinstance(call.kwargs.get("generator"), Seeded):
        return _drawing(call, dtype)
    kwargs = {name: _widened(value, dtype) for name, value in call.kwargs.items()}
    args = tuple(_widened(value, dtype) for value in call.args)
    plain = all(isinstance(x, Hole) for x in args) and not any(
        isinstance(x, Hole) for x in pytree.tree_leaves(kwargs)
    )
    if plain and [x.index for x in args] == list(range(len(args))):
        return lambda inputs: function(*inputs, **kwargs)

    def fill(value: Any, inputs: Sequence[Any]) -> Any:
        if isinstance(value, Hole):
            return inputs[value.index]
        if isinstance(value, list):
            return [fill(part, inputs) for part in value]
        return value

    return lambda inputs: function(
        *(fill(x, inputs) for x in args), **{name: fill(x, inputs) for name, x in kwargs.items()}
    )


def _drawing(call: Call, dtype: Any) -> Callable[[Sequence[Any]], Any]:
    """With a generator that begins anew each time."""
    seeded, rest = call.kwargs["generator"], {**call.kwargs}
    del rest["generator"]

    def run(inputs: Sequence[Any]) -> Any:
        function = functools.partial(call.function, generator=seeded.again())
        return _runner(replace(call, function=function, kwargs=rest), dtype)(inputs)

    return run


def _widened(value: Any, dtype: Any) -> Any:
    return widened(value, dtype) if isinstance(value, torch.dtype) and dtype is not None else value


@functools.cache
def _names(function: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    arguments = function._schema.arguments
    defaults = {a.name: a.default_value if a.has_default_value() else None for a in arguments}
    return tuple(a.name for a in arguments), defaults


def call_of(
    function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], source_of: Callable[[Any], Any]
) -> tuple[Call, list[Any]]:
    """A call, and its inputs: slots, constant tensors, and numbers that stand for such."""
    names, defaults = _names(function)
    inputs: list[Any] = []

    def hole(value: Any) -> Hole:
        inputs.append(value)
        return Hole(len(inputs) - 1)

    def part(name: str, value: Any) -> Any:
        found = source_of(value)
        if found is not value or isinstance(value, torch.Tensor) or type(found).__name__ == "Slot":
            return hole(found)
        if isinstance(value, (int, float, complex)) and name in OPERANDS:
            return hole(value)
        if isinstance(value, (list, tuple)):
            return [part("", x) for x in value]
        return value

    positional = tuple(part(name, value) for name, value in zip(names, args, strict=False))
    named = {name: part(name, value) for name, value in kwargs.items()}
    given = {**defaults, **dict(zip(names, positional, strict=False)), **named}
    params = {name: value for name, value in given.items() if not _is_input(value)}
    return Call(function, positional, named, params), inputs


def type_of(call: Call, inputs: Sequence[Any]) -> str:
    """The function's name, or that of a case of it which has words of its own."""
    if call.type == "hardtanh" and list(inputs[1:]) == [0, 6]:
        return "relu6"
    if call.type == "elu" and call.params["alpha"] * call.params["input_scale"] != 1:
        return "kinked_elu"
    return call.type


def _is_input(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(x, Hole) for x in value)
    return isinstance(value, Hole)


ORDERS = 5
"""How often a function whose gradient is written by hand can be differentiated: for a loss with
third derivatives, and one more."""


@dataclass(frozen=True, eq=False)
class Written:
    """An `autograd.Function`, with the gradient that its author has written.

    Attributes:
        name: of its class.
        instructions: those of its value, and of its gradient.
        arguments: slots of what it is given, or constants.
        results: slots of what it gives.
        seeds: slots of the gradients by its results.
        gradients: slots of the gradients by its arguments, `None` for 0; `None` for all where they
            are of a higher order than `ORDERS`.
        params: nothing.
    """

    name: str
    instructions: tuple[Any, ...]
    arguments: tuple[Any, ...]
    results: tuple[Any, ...]
    seeds: tuple[Any, ...]
    gradients: tuple[Any, ...] | None
    params: dict[str, Any] = field(default_factory=dict)
