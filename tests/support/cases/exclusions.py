"""What of Keras has no case, and why: names as in `Case.covers`."""

from __future__ import annotations


def _all(module: str, names: str, reason: str) -> dict[str, str]:
    return {f"{module}.{name}": reason for name in names.split()}


NOT_A_TRANSFORM = {
    **_all("layers", "Layer Wrapper", "a base class: the layers derived from it have cases"),
    **_all("layers", "InputSpec", "describes a shape"),
    **_all("activations", "deserialize get serialize", "finds an activation by its name"),
    **_all(
        "ops",
        "arange bartlett blackman empty empty_like eye full hamming hanning identity kaiser "
        "ones ones_like tri zeros zeros_like",
        "makes constants",
    ),
    **_all("ops", "dtype is_tensor ndim shape size", "tells about an array, not its values"),
}
"""What does not turn numbers into numbers."""

NOT_DIFFERENTIABLE = {
    **_all(
        "layers",
        "Discretization HashedCrossing Hashing IntegerLookup StringLookup TextVectorization",
        "turns strings or numbers into integers",
    ),
    **_all("layers", "MaxNumBoundingBoxes", "pads lists of boxes, in tf.data only"),
    **_all(
        "layers",
        "ContrastLimitedAdaptiveHistogramEqualization Equalization",
        "counts how many pixels are darker: constant between jumps",
    ),
    **_all("layers", "FlaxLayer JaxLayer", "runs JAX, behind a call that TensorFlow cannot see"),
    **_all("layers", "TorchModuleWrapper", "runs PyTorch; needs its backend"),
    **_all(
        "ops",
        "all allclose any argmax argmin argpartition argsort count_nonzero digitize equal "
        "greater greater_equal histogram in_top_k isclose isfinite isin isinf isnan isneginf "
        "isposinf isreal less less_equal logical_and logical_not logical_or logical_xor "
        "matrix_rank nanargmax nanargmin nonzero not_equal searchsorted signbit unravel_index",
        "gives integers or booleans",
    ),
    **_all(
        "ops",
        "bitwise_and bitwise_invert bitwise_left_shift bitwise_not bitwise_or "
        "bitwise_right_shift bitwise_xor gcd lcm left_shift multi_hot one_hot right_shift",
        "takes integers",
    ),
    **_all(
        "ops",
        "ceil floor floor_divide heaviside round sign trunc",
        "constant between jumps: tensorflow/times_rounded and times_sign have it as a factor",
    ),
    **_all("ops", "bincount", "TensorFlow has no gradient for its weights"),
    **_all("ops", "convert_to_numpy", "leaves the graph"),
    **_all("ops", "ctc_decode", "searches for the best sequence"),
    **_all("ops", "nextafter", "TensorFlow has no gradient for it"),
    **_all("ops", "stop_gradient", "its derivative is 0: tensorflow/stop_gradient has it"),
    **_all("ops", "unique", "TensorFlow has no gradient for it"),
    **_all("ops", "view", "reads the bits of numbers"),
}
"""What has no derivative, or none that TensorFlow knows of."""

NOT_TRACEABLE = {
    **_all(
        "ops",
        "corrcoef kron nanmedian nanpercentile nanquantile",
        "Keras 3.15 on TensorFlow cannot trace it for a batch of unknown size",
    ),
    **_all("ops", "vectorize", "Keras does not support it on TensorFlow"),
}
"""What Keras itself cannot run inside a graph."""

EXCLUSIONS = {**NOT_A_TRANSFORM, **NOT_DIFFERENTIABLE, **NOT_TRACEABLE}

NOT_IN_KERAS_3_7 = frozenset(
    f"ops/{name}"
    for name in (
        *("conj[complex]", "imag", "real[complex]"),
        *("associative_scan", "conv_transpose", "diag", "ifft2", "solve", "tile", "tril", "triu"),
    )
)
"""Ids of cases whose model the first supported Keras fails to build, though it has the names."""
