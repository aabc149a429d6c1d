"""Cases of normalisation layers, where TensorFlow's second derivatives go wrong."""

from __future__ import annotations

from keras import layers

from cases.building import layer_case

ROW, SEQUENCE, IMAGE = (4,), (4, 3), (3, 3, 4)

CASES = [
    layer_case("BatchNormalization", lambda: layers.BatchNormalization(), ROW),
    layer_case("BatchNormalization[image]", lambda: layers.BatchNormalization(), IMAGE),
    layer_case("BatchNormalization[axis_1]", lambda: layers.BatchNormalization(axis=1), IMAGE),
    layer_case("LayerNormalization", lambda: layers.LayerNormalization(), ROW, "moments"),
    layer_case(
        "LayerNormalization[on_a_sequence]",
        lambda: layers.LayerNormalization(),
        SEQUENCE,
        "moments",
    ),
    layer_case(
        "LayerNormalization[two_axes]",
        lambda: layers.LayerNormalization(axis=(1, 2)),
        SEQUENCE,
        "moments",
    ),
    layer_case(
        "LayerNormalization[bare]",
        lambda: layers.LayerNormalization(center=False, scale=False, epsilon=0.1),
        ROW,
        "moments",
    ),
    layer_case("GroupNormalization", lambda: layers.GroupNormalization(2), IMAGE, "moments"),
    layer_case(
        "GroupNormalization[instance]",
        lambda: layers.GroupNormalization(-1),
        SEQUENCE,
        "moments",
    ),
    layer_case("RMSNormalization", lambda: layers.RMSNormalization(), ROW),
    layer_case("UnitNormalization", lambda: layers.UnitNormalization(), ROW),
    layer_case(
        "Normalization",
        lambda: layers.Normalization(mean=[0.0, 0.5, 1.0, -1.0], variance=[1.0, 2.0, 3.0, 0.5]),
        ROW,
    ),
    layer_case("Normalization[adapted]", lambda: layers.Normalization(), ROW),
]
