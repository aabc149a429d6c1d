"""Functions whose gradient their author has written, run in any dtype with that gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from keras_curvature.engines.programs.program import Slot
from keras_curvature.engines.torch.calls import ORDERS, Written


def written(
    function: Written, inputs: Sequence[Any], dtype: Any, run: Callable[..., Any]
) -> list[Any]:
    """The results of a function, whose derivatives are those that its author has given.

    Args:
        function: as it was traced.
        inputs: its arguments.
        dtype: narrower floats become this one.
        run: instructions, from what is given to the values of all slots.
    """

    def parts(given: Sequence[Any], upstream: Sequence[Any], fetches: Sequence[Any]) -> list[Any]:
        known = dict(zip(function.arguments, given, strict=True))
        known |= dict(zip(function.seeds, upstream, strict=True))
        needed = _needed(function, fetches, known)
        values = run(needed, known, dtype)
        return [values[y] if isinstance(y, Slot) else y for y in fetches]

    class AsWritten(torch.autograd.Function):
        """The function."""

        generate_vmap_rule = True

        @staticmethod
        def forward(*given: Any) -> Any:
            return tuple(parts(given, [None] * len(function.seeds), function.results))

        @staticmethod
        def setup_context(ctx: Any, given: Any, outputs: Any) -> None:
            ctx.save_for_backward(*given)

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            given = ctx.saved_tensors
            if function.gradients is None:
                raise NotImplementedError(
                    f"{function.name}, whose gradient is written by hand, can be differentiated "
                    f"{ORDERS} times here."
                )
            wanted = [g for g in function.gradients if g is not None]
            found = iter(parts(given, upstream, wanted))
            gradients = [
                _like(next(found), x) if g is not None else None
                for g, x in zip(function.gradients, given, strict=False)
            ]
            return (*gradients, *[None] * (len(given) - len(gradients)))

    return list(AsWritten.apply(*inputs))


def _like(gradient: Any, x: Any) -> Any:
    gradient = gradient.to(x.dtype)
    return gradient.expand(x.shape) if gradient.shape != x.shape else gradient


def _needed(function: Written, fetches: Sequence[Any], known: Any) -> list[Any]:
    wanted, found = {f for f in fetches if isinstance(f, Slot)}, []
    for instruction in reversed(function.instructions):
        if any(slot in wanted and slot not in known for slot in instruction.outputs):
            found.append(instruction)
            wanted |= {s for s in instruction.inputs if isinstance(s, Slot)}
    return found[::-1]
