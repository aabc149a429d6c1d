"""Which ops of a graph are taken on the other side of their tie, with all that meet there."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import tensorflow as tf

from keras_curvature.engines import ties

NAMES = {
    "Abs": "abs",
    "Add": "add",
    "AddV2": "add",
    "Cast": "cast",
    "Greater": "gt",
    "GreaterEqual": "ge",
    "LeakyRelu": "leaky_relu",
    "Less": "lt",
    "LessEqual": "le",
    "Maximum": "max",
    "Minimum": "min",
    "Mul": "mul",
    "Neg": "neg",
    "RealDiv": "div",
    "Relu": "relu",
    "Sub": "sub",
}
"""Op type -> what it is called where ties are looked for."""

TURNED = {"Abs": "|-x|", "Maximum": "max(b, a)", "Minimum": "min(b, a)"}
"""Op type -> the kind that it is on the other side of its tie."""

_known: weakref.WeakKeyDictionary[tf.Graph, tuple[int, frozenset[str]]] = (
    weakref.WeakKeyDictionary()
)


def is_turned(op: tf.Operation, constant: Callable[[tf.Tensor], float | None]) -> bool:
    """Whether an op is taken on the other side of its tie than by itself.

    Args:
        op: of a type of `TURNED`.
        constant: the number that a constant tensor has in all its entries.
    """
    ops = op.graph.get_operations()
    known = _known.get(op.graph)
    if known is None or known[0] != len(ops):
        known = _known[op.graph] = len(ops), _turned(ops, constant)
    return op.name in known[1]


def _turned(
    ops: list[tf.Operation], constant: Callable[[tf.Tensor], float | None]
) -> frozenset[str]:
    numbers: dict[object, int] = {}

    def number(tensor: tf.Tensor) -> int | float:
        found = constant(tensor)
        return numbers.setdefault(tensor.ref(), len(numbers)) if found is None else found

    seen = [op for op in ops if op.type in NAMES]
    operations = []
    for op in seen:
        output = number(op.outputs[0])
        inputs = tuple(map(number, op.inputs))
        operations.append(
            ties.Operation(NAMES[op.type], inputs, output if isinstance(output, int) else None)
        )
    turned = ties.on_the_other_side(operations)
    return frozenset(op.name for op, moved in zip(seen, turned, strict=True) if moved)
