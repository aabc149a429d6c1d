"""The few shapes in which most models of the table are put together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

from cases.case import Case
from cases.points import Draw, Floats

Step = Callable[[Any], Any]
"""A layer, or a function from one Keras tensor to another or to several."""


def readout(tensors: Any, units: int = 1) -> Any:
    """Brings any tensors down to `units` numbers per example, bending them all.

    The `tanh` gives second derivatives to what is linear, and mixes what is separate.
    """
    flat = [
        tensor if len(tensor.shape) == 2 else layers.Flatten()(tensor)
        for tensor in keras.tree.flatten(tensors)
    ]
    joint = flat[0] if len(flat) == 1 else layers.Concatenate()(flat)
    return layers.Dense(units)(layers.Dense(3, activation="tanh")(joint))


def chain(shape: Sequence[int | None], *steps: Step) -> keras.Model:
    """A model of one input and one number, with `steps` in between."""
    inputs = keras.Input(tuple(shape))
    hidden: Any = inputs
    for step in steps:
        hidden = step(hidden)
    return keras.Model(inputs, readout(hidden))


def layer_case(
    name: str,
    make: Callable[[], Step],
    shape: tuple[int, ...],
    *tags: str,
    covers: str | None = "",
    also: Sequence[str] = (),
    low: float = -1.0,
    high: float = 1.0,
    **fields: Any,
) -> Case:
    """The case of one layer, between an input and a readout.

    Args:
        name: of the layer, perhaps with a variant in brackets: `"Dense[gelu]"`.
        make: makes the layer, or any function of a Keras tensor.
        shape: of one example.
        *tags: of the case.
        covers: the layer that this is the case of; `""` the one that `name` names.
        also: other layers that it is the case of.
        low: lower end of the inputs' interval.
        high: upper end of the inputs' interval.
        **fields: of the case.
    """
    own = name.partition("[")[0] if covers == "" else covers
    return Case(
        id=f"layers/{name}",
        make=lambda: chain(shape, make()),
        x=Floats(shape, low, high),
        covers=tuple(f"layers.{layer}" for layer in ([own] if own else []) + list(also)),
        tags=frozenset(tags),
        **fields,
    )


def function_case(
    id: str,
    function: Step,
    shape: tuple[int, ...],
    *tags: str,
    covers: Sequence[str] = (),
    low: float = -1.0,
    high: float = 1.0,
    x: Draw | None = None,
    twin: Step | None = None,
    output_shape: tuple[int, ...] | None = None,
    **fields: Any,
) -> Case:
    """The case of a function of a tensor, in a `Lambda` between an input and a readout.

    Args:
        id: of the case.
        function: of a batch; it may give several tensors.
        shape: of one example.
        *tags: of the case.
        covers: what this is the case of.
        low: lower end of the inputs' interval.
        high: upper end of the inputs' interval.
        x: instead of numbers from this interval.
        twin: the same function from other ops, for the truth.
        output_shape: of one example, where Keras cannot tell.
        **fields: of the case.
    """

    def make(f: Step = function) -> keras.Model:
        return chain(shape, layers.Lambda(f, output_shape=output_shape))

    return Case(
        id=id,
        make=make,
        x=x or Floats(shape, low, high),
        covers=tuple(covers),
        tags=frozenset(tags),
        twin=functools.partial(make, twin) if twin else None,
        **fields,
    )


def operation_case(
    name: str,
    function: Step,
    *tags: str,
    shape: tuple[int, ...],
    variant: str = "",
    **fields: Any,
) -> Case:
    """The case of a function of `keras.ops`, by its name and what else tells it apart."""
    return function_case(
        f"ops/{name}[{variant}]" if variant else f"ops/{name}",
        function,
        shape,
        *tags,
        covers=[f"ops.{name}"],
        **fields,
    )
