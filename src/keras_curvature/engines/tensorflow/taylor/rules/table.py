"""Every op type that the engine knows, and how it hands derivatives on."""

from __future__ import annotations

import math
import operator

import tensorflow as tf

from keras_curvature.engines.op_types import (
    BENT,
    EVERY_INPUT,
    OWN,
    Curve,
    difference,
    elsewhere,
    itself,
)
from keras_curvature.engines.taylor import elementwise as formulas
from keras_curvature.engines.taylor import recurrences
from keras_curvature.engines.taylor.registry import Rule, never, register
from keras_curvature.engines.taylor.rule_constructors import (
    as_it_is,
    elementwise,
    folding,
    identity,
    joining,
    linear,
    linear_in,
    nothing,
    partials,
    parting,
    slicewise_linear,
)
from keras_curvature.engines.tensorflow import elementary_functions
from keras_curvature.engines.tensorflow.elementary_functions import SELU_SCALE, SELU_SCALE_ALPHA
from keras_curvature.engines.tensorflow.gradient_overrides import OVERRIDES, REFINED
from keras_curvature.engines.tensorflow.graph_ops import BRANCHES, CALLS, LOOPS
from keras_curvature.engines.tensorflow.taylor import batch_axis
from keras_curvature.engines.tensorflow.taylor.rules import (
    control_flow,
    matmul,
    selection,
    shapes,
    softmax,
    tensor_lists,
)
from keras_curvature.engines.tensorflow.taylor.rules import elementwise as functions
from keras_curvature.engines.tensorflow.taylor.rules.besides import BESIDES
from keras_curvature.engines.tensorflow.taylor.rules.decomposition import through
from keras_curvature.engines.tensorflow.taylor.rules.einsum import einsum_product
from keras_curvature.engines.tensorflow.taylor.rules.reductions import reduction
from keras_curvature.engines.tensorflow.taylor.rules.transposed_convolution import (
    transposed_convolution,
)

math_ = tf.math


LINEAR: dict[str, Rule] = {
    # the numbers stay as they are
    "CheckNumerics": identity(),
    "EnsureShape": identity(),
    "Identity": identity().with_traits(is_pointwise=True, vectorises=True),
    "DebugIdentityV2": identity(),
    "DebugIdentityV3": identity(),
    "IdentityN": identity().vectorised(),
    "PreventGradient": identity(),
    "Print": identity(),
    "Snapshot": identity(),
    "Cast": linear(as_it_is).with_traits(is_pointwise=True, vectorises=True),
    "Neg": partials(lambda x, y: ([-tf.ones([], y.dtype)], {}), linear_in=EVERY_INPUT).vectorised(),
    # sums
    "Add": partials(lambda a, b, y: ([None, None], {}), linear_in=EVERY_INPUT).vectorised(),
    "AddN": partials(lambda *xs: ([None] * (len(xs) - 1), {}), linear_in=EVERY_INPUT).vectorised(),
    "AddV2": partials(lambda a, b, y: ([None, None], {}), linear_in=EVERY_INPUT).vectorised(),
    "BiasAdd": linear_in((0,), lambda step, i, stack: stack).with_traits(
        linear_in=EVERY_INPUT, vectorises=True
    ),
    "Cumsum": linear(shapes.along_axis, batch_axis.along(1)),
    "Mean": reduction().vectorised(),
    "Sub": partials(
        lambda a, b, y: ([None, -tf.ones([], y.dtype)], {}), linear_in=EVERY_INPUT
    ).vectorised(),
    "Sum": reduction().vectorised(),
    "x - max(x)": softmax.less_largest(),
    # convolutions and means over windows
    "AvgPool": folding().vectorised(),
    "AvgPool3D": folding(),
    "Conv2D": folding().with_traits(is_multilinear=True, vectorises=True),
    "Conv2DBackpropInput": transposed_convolution().with_traits(is_multilinear=True),
    "Conv3D": folding().with_traits(is_multilinear=True),
    "Conv3DBackpropInputV2": transposed_convolution().with_traits(is_multilinear=True),
    "DepthwiseConv2dNative": folding().with_traits(is_multilinear=True, vectorises=True),
    "ExtractImagePatches": folding(),
    "ResizeArea": folding(),
    "ResizeBicubic": folding(),
    "ResizeBilinear": folding(),
    "ResizeNearestNeighbor": folding(),
    "ScaleAndTranslate": folding(),
    # moving numbers about
    "BatchToSpaceND": slicewise_linear(),
    "BroadcastTo": linear(shapes.broadcast, batch_axis.broadcast).vectorised(),
    "ConcatV2": joining(shapes.concatenated, batch_axis.along(-1)).vectorised(),
    "DepthToSpace": folding(),
    "ExpandDims": linear(shapes.reshaped, batch_axis.reshape).vectorised(),
    "GatherNd": slicewise_linear(),
    "GatherV2": linear(shapes.gathered, batch_axis.along(2)).vectorised(),
    "MatrixBandPart": linear(as_it_is, batch_axis.beyond(2)),
    "MatrixDiagPartV3": linear(shapes.filled_with_0, batch_axis.beyond(2)),
    "MatrixDiagV3": linear(shapes.filled_with_0, batch_axis.beyond(1)),
    "MirrorPad": linear(shapes.padded, batch_axis.padding),
    "Pack": joining(shapes.packed, batch_axis.along_attribute).vectorised(),
    "Pad": linear(shapes.padded, batch_axis.padding).vectorised(),
    "PadV2": linear(shapes.padded, batch_axis.padding).vectorised(),
    "Reshape": linear(shapes.reshaped, batch_axis.reshape).vectorised(),
    "ReverseV2": linear(shapes.along_axis, batch_axis.along(1)),
    "Roll": linear(shapes.rolled, batch_axis.along(2)),
    "ScatterNd": slicewise_linear(operand=1),
    "SegmentMean": slicewise_linear(),
    "SegmentSum": slicewise_linear(),
    "Slice": linear(shapes.sliced, batch_axis.slice_).vectorised(),
    "SpaceToBatchND": slicewise_linear(),
    "SpaceToDepth": folding(),
    "SparseTensorDenseMatMul": slicewise_linear(operand=3),
    "Split": parting(shapes.split, batch_axis.along(0, operand=1), operand=1).vectorised(),
    "SplitV": parting(shapes.split_unevenly, batch_axis.along(2)).vectorised(),
    "Squeeze": linear(shapes.reshaped, batch_axis.reshape).vectorised(),
    "StridedSlice": linear(shapes.strided, batch_axis.strided_slice).vectorised(),
    "Tile": linear(shapes.tiled, batch_axis.tile).vectorised(),
    "Transpose": shapes.transposition().vectorised(),
    "Unpack": parting(shapes.unpacked, batch_axis.along_attribute).vectorised(),
    "UnsortedSegmentSum": slicewise_linear(),
    # complex numbers
    "Complex": linear_in(
        None,
        lambda step, i, stack: tf.complex(
            *((stack, tf.zeros_like(stack)) if i == 0 else (tf.zeros_like(stack), stack))
        ),
    ),
    "Conj": linear(as_it_is),
    "FFT": linear(as_it_is, batch_axis.beyond(1)),
    "FFT2D": linear(as_it_is, batch_axis.beyond(2)),
    "FFT3D": linear(as_it_is, batch_axis.beyond(3)),
    "IFFT": linear(as_it_is, batch_axis.beyond(1)),
    "IFFT2D": linear(as_it_is, batch_axis.beyond(2)),
    "IFFT3D": linear(as_it_is, batch_axis.beyond(3)),
    "IRFFT": linear(as_it_is, batch_axis.beyond(1)),
    "IRFFT2D": linear(as_it_is, batch_axis.beyond(2)),
    "Imag": linear(as_it_is),
    "RFFT": linear(as_it_is, batch_axis.beyond(1)),
    "RFFT2D": linear(as_it_is, batch_axis.beyond(2)),
    "Real": linear(as_it_is),
    # systems of equations, linear in their right-hand side
    "MatrixSolve": slicewise_linear(operand=1),
    "MatrixTriangularSolve": slicewise_linear(operand=1),
    # lists of tensors, as loops keep them
    "TensorListFromTensor": tensor_lists.from_tensor(),
    "TensorListGetItem": tensor_lists.get_item(),
    "TensorListSetItem": tensor_lists.set_item(),
    "TensorListStack": tensor_lists.stack(),
}

PIECEWISE_LINEAR: dict[str, Rule] = {
    "Abs": elementwise(lambda x, y: formulas.where_negative(x, -1.0, 1.0))
        .kinked("abs", "sqrt(x² + ε)", itself, vectorises=True),
    # Not pointwise: its ends are scalars, or of the shape of what is clipped.
    "ClipByValue": partials(formulas.clipped, is_pointwise=False)
        .kinked("clipping", "tanh", selection.both_ends),
    "FloorMod": partials(lambda a, b, y: ([None, -tf.math.floordiv(a, b)], {}), linear_in=(0,))
        .kinked("remainder", "a sine and a cosine"),
    "LeakyRelu": functions.leaky_relu()
        .kinked("leaky_relu", "silu or gelu", itself, vectorises=True),
    "Max": linear(selection.extreme, batch_axis.along(1))
        .kinked("maximum over an axis", "a mean or logsumexp", selection.pairs, vectorises=True),
    "MaxPool": linear(selection.pooled).kinked("max pooling", "average pooling", vectorises=True),
    # Where both are the same, they share as in `elementary_functions`.
    "Maximum": partials(formulas.chosen(tf.greater_equal))
        .kinked("maximum", "logaddexp", difference, vectorises=True),
    "Min": linear(selection.extreme, batch_axis.along(1))
        .kinked("maximum over an axis", "a mean or logsumexp", selection.pairs),
    "Minimum": partials(formulas.chosen(tf.less))
        .kinked("minimum", "-logaddexp(-a, -b)", difference, vectorises=True),
    "Relu": elementwise(lambda x, y: formulas.where_positive(y, 1.0, 0.0))
        .kinked("relu", "softplus or silu", itself, vectorises=True),
    "Relu6": elementwise(lambda x, y: tf.cast((y > 0) & (y < 6), y.dtype))
        .kinked("relu6", "silu", lambda x: [x, x - 6], vectorises=True),
    "Select": linear_in((1, 2), selection.selected)
        .kinked("where", "a smooth transition", elsewhere),
    "SelectV2": linear_in((1, 2), selection.selected)
        .kinked("where", "a smooth transition", elsewhere, vectorises=True),
    "TopKV2": selection.largest_values().kinked("sorting", "softmax weights"),
    "sinc(x)": selection.filled_in(),
    **functions.on_the_other_side(),
}  # fmt: skip

ELEMENTWISE: dict[str, Rule] = {
    "Acos": elementwise(
        lambda x, y: -math_.rsqrt(1 - x * x),
        lambda x, y: -x * math_.rsqrt(1 - x * x) ** 3,
        recurrences.arcsine,
    ),
    "Acosh": elementwise(
        lambda x, y: math_.rsqrt(x * x - 1),
        lambda x, y: -x * math_.rsqrt(x * x - 1) ** 3,
        recurrences.arcsinh,
    ),
    "Asin": elementwise(
        lambda x, y: math_.rsqrt(1 - x * x),
        lambda x, y: x * math_.rsqrt(1 - x * x) ** 3,
        recurrences.arcsine,
    ),
    "Asinh": elementwise(
        lambda x, y: math_.rsqrt(1 + x * x),
        lambda x, y: -x * math_.rsqrt(1 + x * x) ** 3,
        recurrences.arcsinh,
    ),
    "Atan": elementwise(
        lambda x, y: 1 / (1 + x * x), lambda x, y: -2 * x / (1 + x * x) ** 2, recurrences.arctan
    ),
    "Atanh": elementwise(
        lambda x, y: 1 / (1 - x * x), lambda x, y: 2 * x / (1 - x * x) ** 2, recurrences.arctanh
    ),
    **{op_type: functions.by_tape(f) for op_type, f in elementary_functions.WITH_TAILS.items()},
    "BesselI0": functions.by_tape(elementary_functions.bessel_i0),
    "BesselI1": functions.by_tape(elementary_functions.bessel_i1),
    "BesselJ0": functions.by_tape(elementary_functions.bessel_j0),
    "BesselJ1": functions.by_tape(elementary_functions.bessel_j1),
    "Cos": elementwise(
        lambda x, y: -tf.sin(x), lambda x, y: -y, recurrences.oscillating
    ).vectorised(),
    "Cosh": elementwise(lambda x, y: tf.sinh(x), lambda x, y: y, recurrences.hyperbolic),
    "Digamma": elementwise(
        lambda x, y: functions.polygamma(1, x),
        lambda x, y: functions.polygamma(2, x),
        recurrences.of_derivatives(functions.polygamma),
    ),
    "Elu": elementwise(
        lambda x, y: formulas.where_negative(x, formulas.exp_below(x), 1.0),
        lambda x, y: formulas.where_negative(x, formulas.exp_below(x), 0.0),
        recurrences.exponential_below,
    ).smooth("elu", vectorises=True),
    "Erf": elementwise(
        lambda x, y: formulas.TWO_OVER_ROOT_PI * tf.exp(-x * x),
        lambda x, y: -2 * x * formulas.TWO_OVER_ROOT_PI * tf.exp(-x * x),
        recurrences.error_function,
    ).smooth("gelu or erf", vectorises=True),
    "Erfc": elementwise(
        lambda x, y: -formulas.TWO_OVER_ROOT_PI * tf.exp(-x * x),
        lambda x, y: 2 * x * formulas.TWO_OVER_ROOT_PI * tf.exp(-x * x),
        recurrences.error_function,
    ).smooth("gelu or erf"),
    "Erfinv": elementwise(
        lambda x, y: tf.exp(y * y) / formulas.TWO_OVER_ROOT_PI,
        lambda x, y: 2 * y * tf.exp(2 * y * y) / formulas.TWO_OVER_ROOT_PI**2,
        recurrences.inverse_error_function,
    ),
    "Exp": elementwise(lambda x, y: y, lambda x, y: y, recurrences.exponential).smooth(
        "exp", vectorises=True
    ),
    "Expint": elementwise(
        lambda x, y: tf.exp(x) / x,
        lambda x, y: tf.exp(x) * (x - 1) / (x * x),
        recurrences.exponential_integral,
    ),
    "Expm1": elementwise(
        lambda x, y: tf.exp(x), lambda x, y: tf.exp(x), recurrences.exponential_slope
    ).vectorised(),
    "Lgamma": elementwise(
        lambda x, y: math_.digamma(x),
        lambda x, y: functions.polygamma(1, x),
        recurrences.of_derivatives(lambda k, x: functions.polygamma(k - 1, x)),
    ),
    "Log": elementwise(
        lambda x, y: 1 / x, lambda x, y: -1 / (x * x), recurrences.logarithm
    ).vectorised(),
    "Log1p": elementwise(
        lambda x, y: 1 / (1 + x), lambda x, y: -1 / (1 + x) ** 2, recurrences.logarithm
    ).vectorised(),
    "Ndtri": elementwise(
        lambda x, y: formulas.ROOT_TWO_PI * tf.exp(y * y / 2),
        lambda x, y: 2 * math.pi * y * tf.exp(y * y),
        recurrences.inverse_normal,
    ),
    "Reciprocal": elementwise(
        lambda x, y: -y * y, lambda x, y: 2 * y * y * y, recurrences.reciprocal
    ).vectorised(),
    "Rsqrt": elementwise(
        lambda x, y: -0.5 * y**3, lambda x, y: 0.75 * y**5, recurrences.rsqrt
    ).vectorised(),
    "Selu": elementwise(
        lambda x, y: formulas.where_negative(
            x, SELU_SCALE_ALPHA * formulas.exp_below(x), SELU_SCALE
        ),
        lambda x, y: formulas.where_negative(x, SELU_SCALE_ALPHA * formulas.exp_below(x), 0.0),
        recurrences.exponential_below,
    ).with_traits(curve=Curve("selu", "silu or gelu", BENT), vectorises=True),
    "Sigmoid": elementwise(
        lambda x, y: y * tf.sigmoid(-x),
        lambda x, y: y * tf.sigmoid(-x) * (tf.sigmoid(-x) - y),
        recurrences.sigmoid,
    ).smooth("sigmoid", vectorises=True),
    "Sin": elementwise(
        lambda x, y: tf.cos(x), lambda x, y: -y, recurrences.oscillating
    ).vectorised(),
    "Sinh": elementwise(lambda x, y: tf.cosh(x), lambda x, y: y, recurrences.hyperbolic),
    "Softplus": elementwise(
        lambda x, y: tf.sigmoid(x),
        lambda x, y: tf.sigmoid(x) * tf.sigmoid(-x),
        recurrences.softplus,
    ).smooth("softplus", vectorises=True),
    "Softsign": elementwise(
        lambda x, y: 1 / (1 + tf.abs(x)) ** 2,
        lambda x, y: -2 * tf.sign(x) / (1 + tf.abs(x)) ** 3,
        recurrences.softsign,
    ).smooth("softsign", vectorises=True),
    "Spence": functions.by_tape(elementary_functions.spence),
    "Sqrt": elementwise(
        lambda x, y: 0.5 / y, lambda x, y: -0.25 / (x * y), recurrences.sqrt
    ).vectorised(),
    "Square": elementwise(
        lambda x, y: 2 * x, lambda x, y: tf.constant(2, x.dtype), recurrences.square
    ).vectorised(),
    "Swish": functions.swish(),  # an IdentityN with the gradient of tf.nn.silu
    "Tan": elementwise(lambda x, y: 1 + y * y, lambda x, y: 2 * y * (1 + y * y), recurrences.tan),
    "Tanh": elementwise(
        functions.tanh_first, lambda x, y: -2 * y * functions.tanh_first(x, y), recurrences.tanh
    ).smooth("tanh", vectorises=True),
    "sin(x)/x": functions.sine_over(),
    # of two arguments
    "Atan2": partials(formulas.angle_of, formulas.angle_series),
    "Div": partials(formulas.quotient, operator.truediv, linear_in=(0,)),
    "DivNoNan": partials(functions.safe_quotient, functions.safe_quotient_series, linear_in=(0,)),
    "Mul": partials(
        lambda a, b, y: ([b, a], {(0, 1): tf.ones([], y.dtype)}), operator.mul, is_multilinear=True
    ).vectorised(),
    "Pow": partials(functions.power, formulas.power_series).vectorised(),
    "RealDiv": partials(formulas.quotient, operator.truediv, linear_in=(0,)).vectorised(),
    "SquaredDifference": partials(
        formulas.squared_difference, formulas.square_of_difference
    ).vectorised(),
    "Xdivy": partials(functions.over, functions.over_series, linear_in=(0,)),
    "Xlog1py": partials(functions.times_log1p, functions.times_log1p_series, linear_in=(0,)),
    "Xlogy": partials(functions.times_log, functions.times_log_series, linear_in=(0,)),
}

OF_WHOLE_ROWS: dict[str, Rule] = {
    "BatchMatMul": matmul.matrix_product(),
    "BatchMatMulV2": matmul.matrix_product().vectorised(),
    "BatchMatMulV3": matmul.matrix_product().vectorised(),
    "Einsum": einsum_product().vectorised(),
    "LogSoftmax": softmax.log_softmax().smooth("softmax", vectorises=True),
    "MatMul": matmul.matrix_product().vectorised(),
    "Softmax": softmax.softmax().smooth("softmax", vectorises=True),
}

CONTROL: dict[str, Rule] = {
    **dict.fromkeys(BRANCHES, control_flow.branches()),
    **dict.fromkeys(CALLS, control_flow.compiled()),
    **dict.fromkeys(LOOPS, control_flow.loop()),
}

BY_FORMULA: dict[str, Rule] = {
    # The formulas that mend TensorFlow's own derivatives, where no row above says more.
    **{
        op_type: through(formula)
        for op_type, formula in {**OVERRIDES, **REFINED}.items()
        if not any(
            op_type in rules for rules in (LINEAR, PIECEWISE_LINEAR, ELEMENTWISE, OF_WHOLE_ROWS)
        )
    },
}

WITHOUT_DERIVATIVE: dict[str, Rule] = {
    **dict.fromkeys(
        ("BroadcastGradientArgs", "OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike"),
        nothing(shapes_only=True, switches=elsewhere),
    ),
    **dict.fromkeys(("Ceil", "Floor", "FloorDiv", "Rint", "Round", "TruncateDiv"), nothing()),
    **dict.fromkeys(
        ("EditDistance", "StatelessRandomBinomial", "StatelessRandomPoisson"), nothing(never)
    ),
    **dict.fromkeys(("Greater", "GreaterEqual", "Less", "LessEqual"), nothing(switches=difference)),
    "Sign": nothing(switches=itself),
    "StopGradient": nothing().vectorised(),
}

for _rules in (
    LINEAR,
    PIECEWISE_LINEAR,
    ELEMENTWISE,
    OF_WHOLE_ROWS,
    BY_FORMULA,
    CONTROL,
    WITHOUT_DERIVATIVE,
):
    for _op_type, _rule in _rules.items():
        register(_op_type, _rule)
        OWN[_op_type] = _rule.traits
OWN.update(BESIDES)
