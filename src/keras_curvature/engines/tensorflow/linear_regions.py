"""Where the operations of a piecewise-linear model switch from one piece to another.

A interpreter that evaluates a model and keeps account, tensor by tensor, of how it depends on the
input. An operation that could make it anything but piecewise linear is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import tensorflow as tf

from keras_curvature.engines.activity import Place
from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.activity_analysis import SHAPES_ONLY
from keras_curvature.engines.tensorflow.function import FlatFunction
from keras_curvature.engines.tensorflow.graph_ops import BRANCHES, CALLS
from keras_curvature.engines.tensorflow.interpreter import Environment, Interpreter, given
from keras_curvature.engines.tensorflow.side_effects import PASSING


class Degree(IntEnum):
    """How a tensor depends on the input."""

    CONSTANT = 0
    STEP = 1
    """Piecewise constant."""
    LINEAR = 2
    """Piecewise linear."""


LINEAR = frozenset(
    """
    Add AddN AddV2 AvgPool AvgPool3D BatchToSpaceND BiasAdd BroadcastTo ConcatV2 Cumsum
    DepthToSpace ExpandDims GatherNd GatherV2 Identity IdentityN MatrixDiagPartV3 MatrixDiagV3
    Mean MirrorPad Neg Pack Pad PadV2 Reshape ResizeBilinear ReverseV2 Roll Select SelectV2 Slice
    Snapshot SpaceToBatchND SpaceToDepth Split SplitV Squeeze StridedSlice Sub Sum Tile Transpose
    Unpack
    """.split()  # noqa: SIM905, a list of strings would take forty lines
)
"""Op types that are linear in all their float inputs together."""

PRODUCTS = frozenset(
    """
    BatchMatMulV2 BatchMatMulV3 Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2
    DepthwiseConv2dNative Einsum MatMul Mul
    """.split()  # noqa: SIM905
)
"""Op types that are linear in each of their inputs."""

QUOTIENTS = frozenset({"RealDiv"})
"""Op types that are linear in their first input."""


def _itself(x: tf.Tensor) -> list[tf.Tensor]:
    return [x]


def _difference(x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
    return [x - y]


def _both_ends(x: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> list[tf.Tensor]:
    return [x - low, x - high]


def _pairs(x: tf.Tensor, axes: tf.Tensor) -> list[tf.Tensor]:
    """The differences of all entries of which one is chosen."""
    reduced = sorted({int(axis) % x.shape.rank for axis in np.ravel(axes)})
    kept = [axis for axis in range(x.shape.rank) if axis not in reduced]
    count = int(np.prod([x.shape[axis] for axis in reduced]))
    i, j = np.tril_indices(count, -1)
    entries = tf.reshape(tf.transpose(x, kept + reduced), [x.shape[0], -1, count])
    return [tf.gather(entries, i, axis=2) - tf.gather(entries, j, axis=2)]


SWITCHES: dict[str, Callable[..., list[tf.Tensor]]] = {
    "Abs": _itself,
    "ClipByValue": _both_ends,
    "Greater": _difference,
    "GreaterEqual": _difference,
    "LeakyRelu": _itself,
    "Less": _difference,
    "LessEqual": _difference,
    "Max": _pairs,
    "Maximum": _difference,
    "Min": _pairs,
    "Minimum": _difference,
    "Relu": _itself,
    "Relu6": lambda x: [x, x - 6],
    "Sign": _itself,
}
"""Op types with several pieces, and what changes its sign where they switch."""

STEPS = frozenset({"Greater", "GreaterEqual", "Less", "LessEqual", "Sign"})
"""Those of them whose pieces are constant."""

KINKED = (frozenset(SWITCHES) - STEPS) | {"MaxPool", "MaxPool3D", "Selu"}
"""Op types that give kinks to a smooth function."""


def switches(f: FlatFunction, z: tf.Tensor) -> list[tf.Tensor]:
    """What changes its sign where `f` goes from one linear piece to the next.

    Args:
        f: a function of one array, called eagerly.
        z: points, `(rows, d)`.

    Returns:
        One tensor `(rows, units)` for each operation that switches, in the order of
        computation: where the signs before it do not change, each is linear in `z`.

    Raises:
        ValueError: for an operation that is not known to be piecewise linear.
    """
    board = _Switchboard(f)
    board.walk(given(f.traced, f.feeds(z, ()), f.dtype), f.fetches)
    return [tf.reshape(tensor, [z.shape[0], -1]) for tensor in board.found]


class _Switchboard(Interpreter):
    """Notes what it meets on its way, in `found`."""

    def __init__(self, f: FlatFunction) -> None:
        super().__init__(f.dtype, f.traced.variables)
        self.found: list[tf.Tensor] = []
        self._places = {place.op_name: place for place in (*f.activity.active, *f.activity.cuts)}
        self._degrees = {tensor.ref(): Degree.LINEAR for tensor in f.source}
        self._returned: list[Degree] = []

    def emit(
        self, op: tf.Operation, inputs: Sequence[Any], environment: Environment
    ) -> Sequence[Any]:
        """Emits one op, if it is piecewise linear, and notes where it switches."""
        degrees = [self._degree(tensor) for tensor in op.inputs]
        active = Degree.LINEAR in degrees
        if active and not _is_piecewise_linear(op, degrees):
            place = self._places.get(op.name, Place(op.type, op.name, ""))
            raise ValueError(
                f"The model is not known to be piecewise linear: {place} may curve or jump. "
                "Dense layers, convolutions, sums and activations like ReLU are followed; for "
                "other models see `scale_curvature` and `hessian`."
            )
        outputs = super().emit(op, inputs, environment)
        self._note(op, degrees)
        if active and op.type in SWITCHES:
            self.found += SWITCHES[op.type](*inputs)
        return outputs

    def _note(self, op: tf.Operation, before: Sequence[Degree]) -> None:
        """Keeps the degrees of the outputs."""
        after = [_degree_after(op, max(before, default=Degree.CONSTANT))] * len(op.outputs)
        if op.type in CALLS | BRANCHES:
            after = self._returned
        for tensor, degree in zip(op.outputs, after, strict=True):
            self._degrees[tensor.ref()] = degree

    def enter(
        self, graph: tf.Graph, values: Sequence[Any], given: Iterable[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Walks a function's graph with what is known of its inputs."""
        outer = list(given)
        for inner, tensor in zip(graph.inputs, outer, strict=True):
            self._degrees[inner.ref()] = self._degree(tensor)
        outputs = super().enter(graph, values, outer)
        self._returned = [self._degree(tensor) for tensor in graph.outputs]
        return outputs

    def _degree(self, tensor: tf.Tensor) -> Degree:
        return self._degrees.get(tensor.ref(), Degree.CONSTANT)


def _is_piecewise_linear(op: tf.Operation, given: Sequence[Degree]) -> bool:
    """Whether an op with such inputs, at least one of them linear, gives linear pieces."""
    if op.type in LINEAR | PASSING or op.type in SWITCHES or op.type in SHAPES_ONLY:
        return True
    if op.type in PRODUCTS:
        return given.count(Degree.LINEAR) == 1
    if op.type in QUOTIENTS:
        return given[1] is not Degree.LINEAR
    if op.type == "Cast":
        return op.outputs[0].dtype.is_floating
    # What its author has XLA compile is not entered eagerly.
    return op.type in CALLS and not private.must_be_compiled(op)


def _degree_after(op: tf.Operation, strongest: Degree) -> Degree:
    if op.type in SHAPES_ONLY:
        return Degree.CONSTANT
    return min(strongest, Degree.STEP) if op.type in STEPS else strongest
