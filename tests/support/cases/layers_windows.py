"""Cases of layers that slide a window: convolutions and pooling."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import layers, ops

from cases.building import chain, layer_case
from cases.case import Case

LINE, IMAGE, VOLUME = (6, 2), (4, 4, 2), (3, 3, 3, 1)
CUBE = (4, 4, 2, 1)
FLAT_STEP = 1 / 16  # the mean over a volume hardly bends along any one input


def _blocks(reduce: Callable[..., Any], axes: tuple[int, ...]) -> Callable[[Any], Any]:
    """Pools a `CUBE` over blocks, which TensorFlow does in float32 only."""

    def pool(x: Any) -> Any:
        blocks = layers.Reshape((2, 2, 2, 2, 2))(x)  # depth and height cut into pairs
        return layers.Lambda(lambda b: reduce(b, axis=axes))(blocks)

    return pool


def _pooling_of_a_cube(name: str, make: Callable[[], Any], reduce: Any, *tags: str) -> Case:
    # Adaptive pooling to a length of 1 is a division by zero that ends the process, in
    # TensorFlow 2.21: the width of the cube stays 2.
    axes = (2, 4) if name.startswith("Adaptive") else (2, 4, 5)
    case = layer_case(name, make, CUBE, "float32_only", *tags)
    return dataclasses.replace(case, twin=lambda: chain(CUBE, _blocks(reduce, axes)))


CONVOLUTIONS = [
    layer_case("Conv1D", lambda: layers.Conv1D(3, 3), LINE),
    layer_case(
        "Conv1D[causal_dilated]",
        lambda: layers.Conv1D(3, 2, padding="causal", dilation_rate=2),
        LINE,
    ),
    layer_case("Conv1D[strided]", lambda: layers.Conv1D(3, 2, strides=2, padding="same"), LINE),
    layer_case("Conv1DTranspose", lambda: layers.Conv1DTranspose(2, 3, strides=2), LINE),
    layer_case("Conv2D", lambda: layers.Conv2D(3, 3), IMAGE),
    layer_case("Conv2D[strided]", lambda: layers.Conv2D(3, 3, strides=2, padding="same"), IMAGE),
    layer_case("Conv2D[dilated]", lambda: layers.Conv2D(3, 2, dilation_rate=2), IMAGE),
    layer_case("Conv2D[grouped]", lambda: layers.Conv2D(4, 2, groups=2), IMAGE),
    layer_case(
        "Conv2DTranspose", lambda: layers.Conv2DTranspose(2, 3, strides=2, padding="same"), IMAGE
    ),
    layer_case("Conv3D", lambda: layers.Conv3D(2, 2), VOLUME),
    layer_case("Conv3DTranspose", lambda: layers.Conv3DTranspose(2, 2), VOLUME),
    layer_case("DepthwiseConv1D", lambda: layers.DepthwiseConv1D(3, depth_multiplier=2), LINE),
    layer_case("DepthwiseConv2D", lambda: layers.DepthwiseConv2D(3, padding="same"), IMAGE),
    layer_case("DepthwiseConv2D[strided]", lambda: layers.DepthwiseConv2D(2, strides=2), IMAGE),
    layer_case("SeparableConv1D", lambda: layers.SeparableConv1D(3, 2), LINE),
    layer_case("SeparableConv2D", lambda: layers.SeparableConv2D(3, 2), IMAGE),
]

POOLING = [
    layer_case("AveragePooling1D", lambda: layers.AveragePooling1D(2), LINE),
    layer_case("AveragePooling2D", lambda: layers.AveragePooling2D(2), IMAGE),
    layer_case("AveragePooling2D[same]", lambda: layers.AveragePooling2D(3, 2, "same"), IMAGE),
    layer_case("MaxPooling1D", lambda: layers.MaxPooling1D(2), LINE, "kinked"),
    layer_case("MaxPooling2D", lambda: layers.MaxPooling2D(2), IMAGE, "kinked"),
    layer_case(
        "MaxPooling2D[stride_1]",
        lambda: lambda x: layers.MaxPooling2D(3, 1, "same")(layers.Activation("tanh")(x)),
        IMAGE,
        "kinked",
        note="As large as its input, as in Inception: TensorFlow then loses its curvature.",
    ),
    layer_case("MaxPooling2D[same]", lambda: layers.MaxPooling2D(3, 2, "same"), IMAGE, "kinked"),
    layer_case(
        "GlobalAveragePooling1D", lambda: layers.GlobalAveragePooling1D(), LINE, step=FLAT_STEP
    ),
    layer_case(
        "GlobalAveragePooling2D", lambda: layers.GlobalAveragePooling2D(), IMAGE, step=FLAT_STEP
    ),
    layer_case(
        "GlobalAveragePooling3D", lambda: layers.GlobalAveragePooling3D(), VOLUME, step=FLAT_STEP
    ),
    layer_case("GlobalMaxPooling1D", lambda: layers.GlobalMaxPooling1D(), LINE, "kinked"),
    layer_case("GlobalMaxPooling2D", lambda: layers.GlobalMaxPooling2D(), IMAGE, "kinked"),
    layer_case("GlobalMaxPooling3D", lambda: layers.GlobalMaxPooling3D(), VOLUME, "kinked"),
    layer_case("AdaptiveAveragePooling1D", lambda: layers.AdaptiveAveragePooling1D(4), LINE),
    layer_case("AdaptiveAveragePooling2D", lambda: layers.AdaptiveAveragePooling2D(3), IMAGE),
    layer_case("AdaptiveMaxPooling1D", lambda: layers.AdaptiveMaxPooling1D(4), LINE, "kinked"),
    layer_case("AdaptiveMaxPooling2D", lambda: layers.AdaptiveMaxPooling2D(3), IMAGE, "kinked"),
]

POOLING_OF_A_CUBE = [
    _pooling_of_a_cube("AveragePooling3D", lambda: layers.AveragePooling3D(2), ops.mean),
    _pooling_of_a_cube("MaxPooling3D", lambda: layers.MaxPooling3D(2), ops.max, "kinked"),
    _pooling_of_a_cube(
        "AdaptiveAveragePooling3D",
        lambda: layers.AdaptiveAveragePooling3D(2),
        ops.mean,
    ),
    _pooling_of_a_cube(
        "AdaptiveMaxPooling3D", lambda: layers.AdaptiveMaxPooling3D(2), ops.max, "kinked"
    ),
]

CASES = [*CONVOLUTIONS, *POOLING, *POOLING_OF_A_CUBE]
