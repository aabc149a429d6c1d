"""What is known of op types beside the rules."""

from __future__ import annotations

from keras_curvature.engines.op_types import Curve, Traits

BESIDES: dict[str, Traits] = {
    op_type: Traits(curve=Curve(word, instead))
    for word, instead, op_types in (
        ("dilation", "a convolution", "Dilation2D"),
        ("max pooling", "average pooling",
         "FractionalMaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax"),
        ("maximum over an axis", "a mean or logsumexp",
         "SegmentMax SegmentMin UnsortedSegmentMax UnsortedSegmentMin"),
        ("quantisation", "the model before it was quantised",
         "FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel "
         "QuantizeAndDequantize QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 "
         "QuantizeAndDequantizeV4"),
        ("remainder", "a sine and a cosine", "Mod"),
        ("sorting", "softmax weights", "TopK"),
    )
    for op_type in op_types.split()
}  # fmt: skip
"""What is known of op types that have no rule, or none but a formula."""
