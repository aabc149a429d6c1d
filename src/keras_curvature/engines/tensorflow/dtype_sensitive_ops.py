"""What must be evaluated in the dtype that it was written in, whatever the rest is."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

BY_WIDTH = frozenset(
    """
    AsString Bitcast Fingerprint NextAfter SerializeTensor StringFormat
    Range
    Multinomial NonDeterministicInts ParameterizedTruncatedNormal RandomGamma RandomPoisson
    RandomPoissonV2 RandomStandardNormal RandomUniform SobolSample StatefulRandomBinomial
    StatefulStandardNormal StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform
    StatelessMultinomial StatelessRandomBinomial StatelessRandomGammaV2 StatelessRandomGammaV3
    StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomPoisson StatelessRandomUniform
    StatelessRandomUniformV2 StatelessTruncatedNormal StatelessTruncatedNormalV2 TruncatedNormal
    EagerPyFunc MapDefun PyFunc PyFuncStateless RemoteCall SymbolicGradient
    """.split()  # noqa: SIM905, a list of strings would take forty lines
)
"""Op types that mean something else in another dtype.

Those that look at bits and digits; a range, whose number of steps rounding decides; random
numbers, as many bits of a seed as the dtype has; functions made for one dtype.
"""


def has_own_dtype(op: tf.Operation) -> bool:
    """Whether an op must be evaluated in the dtype that it was written in.

    What was stored or spelt out, behind a resource or in a string, has its dtype as well.
    """
    return op.type in BY_WIDTH or any(x.dtype in (tf.resource, tf.string) for x in op.inputs)


def deciding(ops: Sequence[tf.Operation]) -> set[tf.Operation]:
    """Ops on floats that come from no data and decide an integer or a boolean: a size, a place.

    `int(10 * 0.7)` is 7 in float32, and 6 in float64 with the 0.7 of float32. What else is
    computed from such numbers keeps their dtype too, so that parts and wholes fit.

    Args:
        ops: of one graph, in an order in which they can run.
    """
    constant: set[tf.Operation] = set()
    found: set[tf.Operation] = set()
    for op in ops:
        if not _may_be_constant(op) or not all(
            x.op in constant or _counts(x) or x.dtype == tf.string for x in op.inputs
        ):
            continue
        if any(y.dtype.is_floating for y in op.outputs):
            constant.add(op)
        if any(map(_counts, op.outputs)) and any(x.dtype.is_floating for x in op.inputs):
            found.add(op)
    for op in reversed(ops):
        if op in found:
            found |= constant & {x.op for x in op.inputs}
    for op in ops:
        if op in constant and found & {x.op for x in op.inputs if x.dtype.is_floating}:
            found.add(op)
    return found


def _may_be_constant(op: tf.Operation) -> bool:
    holds_functions = any(
        attribute.type.endswith(("func", "func)")) for attribute in op.op_def.attr
    )
    given = {"Placeholder", "Shape", "ShapeN", "Size", "Rank"}  # or looking at shapes only
    return not (op.op_def.is_stateful or holds_functions or op.type in given)


def _counts(tensor: tf.Tensor) -> bool:
    return bool(tensor.dtype.is_integer or tensor.dtype.is_bool)
