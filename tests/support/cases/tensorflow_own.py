"""What TensorFlow's own second derivatives are worth: two nested tapes, in float64.

"wrong" is off by more than 1e-5 of the true number, or of the slope where the truth is
near 0. Models that TensorFlow runs in float32 only, or that round to float32 inside, are
judged at 1e-3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import truth
from cases.case import Case
from cases.flat import direction_of, flat_of, true_directional, true_flat_of

MODES: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "eager": lambda function: function,
    "graph": lambda function: tf.function(function, autograph=False),
    "xla": lambda function: tf.function(function, autograph=False, jit_compile=True),
}

TRANSFORMED_BACK = "ImageProjectiveTransform is transformed back, which is not its transposed"

WRONG = {
    "differentiating/cross_entropy": "the gradient's dependence on labels is left out",
    "differentiating/gradient[bilinear]": "ResizeBilinearGrad counts as a constant",
    "layers/Resizing": "ResizeBilinearGrad counts as a constant: nothing of it is left",
    "layers/Resizing[crop]": "ResizeBilinearGrad counts as a constant",
    "layers/UpSampling2D[bilinear]": "ResizeBilinearGrad counts as a constant",
    "layers/AdaptiveMaxPooling3D": "MaxPool3DGradGrad clears a buffer that it still needs",
    "layers/MaxPooling2D[stride_1]": "MaxPoolGradGrad clears a buffer that it still needs",
    "tensorflow/cholesky_of_a_lower_triangle": "half of a derivative goes to what is never read",
    "tensorflow/fake_quantised": "FakeQuantWithMinMaxVarsGradient counts as a constant",
    "tensorflow/hsv_to_rgb": "HSVToRGB counts as a constant: nothing is left",
    "ops/categorical_crossentropy[logits]": "the gradient's dependence on labels is left out",
    "tensorflow/projective_transform[CONSTANT]": TRANSFORMED_BACK,
    "tensorflow/projective_transform[NEAREST]": TRANSFORMED_BACK,
    "tensorflow/projective_transform[REFLECT]": TRANSFORMED_BACK,
    "tensorflow/projective_transform[WRAP]": TRANSFORMED_BACK,
    "tensorflow/projective_transform_by_the_input": "nothing is said of the transform",
}
"""Silently wrong in TensorFlow 2.21, besides all that is tagged `moments`.

Where pooling gives as many numbers as it takes, the kernel of MaxPoolGradGrad may write its
result where its argument lies, and clears it first: the result is 0. It does so if nobody
else holds on to the argument any more, which in a graph may change from call to call.
"""

CALLS = 20
"""Each small model is asked this often in a graph, and the worst answer counts."""

RAISES = {
    "activations/softsign": "SoftsignGrad",
    "differentiating/gradient[bicubic]": "ResizeBicubicGrad",
    "differentiating/gradient[softsign]": "SoftsignGrad",
    "layers/CategoryEncoding": "DenseBincount",
    "layers/Resizing[bicubic]": "ResizeBicubicGrad",
    "layers/Resizing[nearest]": "ResizeNearestNeighborGrad",
    "layers/UpSampling2D[bicubic]": "ResizeBicubicGrad",
    "networks/mlp_softsign": "SoftsignGrad",
    "ops/ctc_loss": "SymbolicGradient",
    "ops/lu_factor": "Lu",
    "ops/slice_update": "XlaDynamicUpdateSlice",
    "ops/softsign": "SoftsignGrad",
    "tensorflow/dilation2d": "Dilation2DBackpropInput",
    "tensorflow/local_response_normalization": "LRNGrad",
    "tensorflow/recompute_grad": "recompute_grad",
    "tensorflow/softsign": "SoftsignGrad",
}
"""No second derivative in TensorFlow 2.21, and what the message names."""


def known_verdict(case: Case) -> str:
    """What was found with TensorFlow 2.21 in a graph without XLA."""
    if case.id in RAISES:
        return "raises"
    return "wrong" if case.id in WRONG or "moments" in case.tags else "right"


@dataclass(frozen=True)
class Finding:
    """What TensorFlow says of one case.

    Attributes:
        verdict: `"right"`, `"wrong"` or `"raises"`.
        detail: the error, relative, or the message.
    """

    verdict: str
    detail: str


def nested_tapes(function: Callable[[Any], Any], count: int) -> Callable[..., Any]:
    """`v^T H v` of each of `count` outputs, as `(batch, count)`; leaves in, leaves out."""

    def along(leaves: Sequence[tf.Tensor], v: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.stack([one(leaves, v, k) for k in range(count)], axis=1)

    def one(leaves: Sequence[tf.Tensor], v: Sequence[tf.Tensor], k: int) -> tf.Tensor:
        with tf.GradientTape() as outer:
            outer.watch(leaves)
            with tf.GradientTape() as inner:
                inner.watch(leaves)
                output = _flat(keras.tree.flatten(function(leaves)))[:, k]
            slope = _product(inner.gradient(output, leaves), v)
        if isinstance(slope, float):
            return tf.zeros_like(output)
        second = _product(outer.gradient(slope, leaves), v)
        return tf.zeros_like(output) + second

    return along


def _flat(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    rows = tf.shape(tensors[0])[0]
    return tf.concat([tf.reshape(tensor, [rows, -1]) for tensor in tensors], axis=1)


def _product(gradients: Sequence[Any], v: Sequence[tf.Tensor]) -> Any:
    """`sum_i g_i v_i` for each example; `None` is 0, as TensorFlow means it."""
    terms = [
        tf.reduce_sum(tf.convert_to_tensor(gradient) * part, axis=range(1, part.shape.rank))
        for gradient, part in zip(gradients, v, strict=True)
        if gradient is not None
    ]
    return sum(terms) if terms else 0.0


def survey(case: Case, mode: str) -> Finding:
    """Asks TensorFlow, and compares."""
    dtype = "float32" if "float32_only" in case.tags else "float64"
    flat = flat_of(case, dtype)
    true = true_directional(case)
    parts = keras.tree.flatten(flat.split(direction_of(case).astype(dtype)))

    def function(leaves: Sequence[tf.Tensor]) -> Any:
        return flat.function(keras.tree.pack_sequence_as(flat.structure, list(leaves)))

    ask = MODES[mode](nested_tapes(function, true.shape[1]))
    leaves = [tf.constant(leaf) for leaf in flat.leaves]
    try:
        v = [tf.constant(part) for part in parts]
        calls = CALLS if mode == "graph" and "slow" not in case.tags else 1
        found = [np.asarray(ask(leaves, v), dtype="float64") for _ in range(calls)]
    except Exception as error:
        return Finding("raises", f"{type(error).__name__}: {_reason(error)}")
    return _judged(case, max(found, key=lambda answer: np.abs(answer - true).max()), true)


def _judged(case: Case, found: np.ndarray, true: np.ndarray) -> Finding:
    reference = true_flat_of(case)
    v = direction_of(case)
    slope = np.abs(truth.difference(reference, reference.z, v, case.h / 4)).max()
    # Where the truth is near 0 by itself, an error counts against the slope.
    size = max(np.abs(true).max(), 1e-3 * slope)
    error = np.abs(found - true).max() / size
    rounds = case.tags & {"float32_only", "float32_inside"}
    wrong = not error < (1e-3 if rounds else 1e-5)
    return Finding("wrong" if wrong else "right", f"{error:.0e}")


def _reason(error: Exception) -> str:
    """The line of a message that says something."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"gradient|not found|Error|support", line)]
    return (telling or lines or ["no message"])[-1][:160]
