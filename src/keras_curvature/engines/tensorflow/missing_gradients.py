"""Derivatives that TensorFlow has not, and lets count as 0.

Found by comparing the registered gradient by every floating input of every op in `tf.raw_ops` with
differences of its values, and its second derivatives with differences of the first. What is left
out at second order only is supplied by `gradient_overrides`.
"""

from __future__ import annotations

from collections.abc import Set

import tensorflow as tf

_INPUTS = {
    # their registered gradient is None for these inputs
    "Betainc": {0, 1},
    "FusedBatchNorm": {3, 4},
    "FusedBatchNormGrad": {3, 4},
    "FusedBatchNormGradV2": {3, 4},
    "FusedBatchNormGradV3": {3, 4},
    "FusedBatchNormV2": {3, 4},
    "FusedBatchNormV3": {3, 4},
    "MatrixDiagPartV2": {2},
    "MatrixDiagPartV3": {2},
    "MatrixDiagV2": {4},
    "MatrixDiagV3": {4},
    "MatrixSolveLs": {2},
    "PadV2": {2},
    "Polygamma": {0},
    "QuantizeAndDequantizeV2": {1, 2},
    "QuantizeAndDequantizeV3": {1, 2},
    "ScaleAndTranslate": {2, 3},
    "SparseAdd": {1, 4},  # it has a gradient, but that counts as a constant at second order
    "SparseMatrixAdd": {2, 3},
    "Zeta": {0},
    # they have no gradient, but are piecewise constant in all other inputs
    "DrawBoundingBoxes": {0},
    "ExtractGlimpse": {0},
    "FakeQuantWithMinMaxArgsGradient": {0},
    "FakeQuantWithMinMaxVarsGradient": {0},
    "FakeQuantWithMinMaxVarsPerChannelGradient": {0},
    "LookupTableFind": {2},
    "LookupTableFindV2": {2},
    "RaggedRange": {0, 2},
    "Range": {0, 2},
}

_OUTPUTS = {
    "BlockLSTM": {0, 2, 3, 4, 5},
    "BlockLSTMV2": {0, 2, 3, 4, 5},
    "CTCLoss": {1},
    "CTCLossV2": {1},
    "FusedBatchNorm": {1, 2, 3, 4},
    "FusedBatchNormV2": {1, 2, 3, 4},
    "FusedBatchNormV3": {1, 2, 3, 4, 5},
}
"""Outputs whose upstream gradient the registered gradient takes no notice of."""


def by_input(op: tf.Operation) -> Set[int] | None:
    """The inputs that an op depends on smoothly, and by which TensorFlow has no derivative.

    Returns:
        Their indexes; `None` for all inputs where no gradient is registered.
    """
    known = _INPUTS.get(op.type)
    return known - constant_in(op) if known else None


def constant_in(op: tf.Operation) -> Set[int]:
    """The floating inputs in which an op is piecewise constant, though not in all of them."""
    nearest = op.type.startswith("ImageProjectiveTransform") and (
        op.get_attr("interpolation") == b"NEAREST"
    )
    return {1} if nearest else frozenset()


def of_output(op: tf.Operation) -> Set[int]:
    """The outputs of which TensorFlow has no derivative by any input."""
    return _OUTPUTS.get(op.type, frozenset())
