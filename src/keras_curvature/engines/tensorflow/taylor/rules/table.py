"""Every op type that the engine knows, and how it hands derivatives on."""

from __future__ import annotations

import math

import tensorflow as tf

from keras_curvature.engines.taylor import elementwise as formulas
from keras_curvature.engines.taylor.constructors import (
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
    piecewise,
    slicewise_linear,
)
from keras_curvature.engines.taylor.registry import Rule, register
from keras_curvature.engines.tensorflow import elementary_functions
from keras_curvature.engines.tensorflow.elementary_functions import SELU_SCALE, SELU_SCALE_ALPHA
from keras_curvature.engines.tensorflow.gradient_overrides import OVERRIDES, REFINED
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
from keras_curvature.engines.tensorflow.taylor.rules.convolution import transposed_convolution
from keras_curvature.engines.tensorflow.taylor.rules.decomposition import through
from keras_curvature.engines.tensorflow.taylor.rules.einsum import einsum_product
from keras_curvature.engines.tensorflow.taylor.rules.reductions import reduction

math_ = tf.math


def _polygamma(order: int, x: tf.Tensor) -> tf.Tensor:
    return math_.polygamma(tf.constant(order, x.dtype), x)


LINEAR: dict[str, Rule] = {
    # the numbers stay as they are
    "CheckNumerics": identity(),
    "EnsureShape": identity(),
    "Identity": identity(),
    "IdentityN": identity(),
    "PreventGradient": identity(),
    "Snapshot": identity(),
    "Cast": linear(as_it_is),
    "Neg": partials(lambda x, y: ([-tf.ones([], y.dtype)], {}), is_linear=True),
    # sums
    "Add": partials(lambda a, b, y: ([None, None], {}), is_linear=True),
    "AddN": partials(lambda *xs: ([None] * (len(xs) - 1), {}), is_linear=True),
    "AddV2": partials(lambda a, b, y: ([None, None], {}), is_linear=True),
    "BiasAdd": linear_in((0,), lambda step, i, stack: stack),
    "Cumsum": linear(shapes.along_axis, batch_axis.along(1)),
    "Mean": reduction(),
    "Sub": partials(lambda a, b, y: ([None, -tf.ones([], y.dtype)], {}), is_linear=True),
    "Sum": reduction(),
    # convolutions and means over windows
    "AvgPool": folding(),
    "AvgPool3D": folding(),
    "Conv2D": folding(),
    "Conv2DBackpropInput": transposed_convolution(),
    "Conv3D": folding(),
    "Conv3DBackpropInputV2": transposed_convolution(),
    "DepthwiseConv2dNative": folding(),
    "ExtractImagePatches": folding(),
    "ResizeArea": folding(),
    "ResizeBicubic": folding(),
    "ResizeBilinear": folding(),
    "ResizeNearestNeighbor": folding(),
    "ScaleAndTranslate": folding(),
    # moving numbers about
    "BatchToSpaceND": slicewise_linear(),
    "BroadcastTo": linear(shapes.broadcast, batch_axis.broadcast),
    "ConcatV2": joining(shapes.concatenated, batch_axis.along(-1)),
    "DepthToSpace": folding(),
    "ExpandDims": linear(shapes.reshaped, batch_axis.reshape),
    "GatherNd": slicewise_linear(),
    "GatherV2": linear(shapes.gathered, batch_axis.along(2)),
    "MatrixBandPart": linear(as_it_is, batch_axis.beyond(2)),
    "MatrixDiagPartV3": linear(as_it_is, batch_axis.beyond(2)),
    "MatrixDiagV3": linear(as_it_is, batch_axis.beyond(1)),
    "MirrorPad": linear(shapes.padded, batch_axis.padding),
    "Pack": joining(shapes.packed, batch_axis.along_attribute),
    "Pad": linear(shapes.padded, batch_axis.padding),
    "PadV2": linear(shapes.padded, batch_axis.padding),
    "Reshape": linear(shapes.reshaped, batch_axis.reshape),
    "ReverseV2": linear(shapes.along_axis, batch_axis.along(1)),
    "Roll": linear(shapes.rolled, batch_axis.along(2)),
    "ScatterNd": slicewise_linear(operand=1),
    "SegmentMean": slicewise_linear(),
    "SegmentSum": slicewise_linear(),
    "Slice": linear(shapes.sliced, batch_axis.slice_),
    "SpaceToBatchND": slicewise_linear(),
    "SpaceToDepth": folding(),
    "SparseTensorDenseMatMul": slicewise_linear(operand=3),
    "Split": parting(shapes.split, batch_axis.along(0, operand=1), operand=1),
    "SplitV": parting(shapes.split_unevenly, batch_axis.along(2)),
    "Squeeze": linear(shapes.reshaped, batch_axis.reshape),
    "StridedSlice": linear(shapes.strided, batch_axis.strided_slice),
    "Tile": linear(shapes.tiled, batch_axis.tile),
    "Transpose": shapes.transposition(),
    "Unpack": parting(shapes.unpacked, batch_axis.along_attribute),
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
    "Abs": elementwise(lambda x, y: formulas.where_negative(x, -1.0, 1.0)),
    "ClipByValue": partials(formulas.clipped),
    "FloorMod": partials(lambda a, b, y: ([None, -tf.math.floordiv(a, b)], {})),
    "LeakyRelu": functions.leaky_relu(),
    "Max": piecewise(linear(selection.extreme, batch_axis.along(1))),
    "MaxPool": piecewise(linear(selection.pooled)),
    "Maximum": partials(formulas.chosen(tf.greater_equal)),  # with Minimum, as in `elementary`
    "Min": piecewise(linear(selection.extreme, batch_axis.along(1))),
    "Minimum": partials(formulas.chosen(tf.less)),
    "Relu": elementwise(lambda x, y: formulas.where_positive(y, 1.0, 0.0)),
    "Relu6": elementwise(lambda x, y: tf.cast((y > 0) & (y < 6), y.dtype)),
    "Select": piecewise(linear_in((1, 2), selection.selected)),
    "SelectV2": piecewise(linear_in((1, 2), selection.selected)),
    "TopKV2": selection.largest_values(),
    "sinc(x)": selection.filled_in(),
}

ELEMENTWISE: dict[str, Rule] = {
    "Acos": elementwise(
        lambda x, y: -math_.rsqrt(1 - x * x), lambda x, y: -x * math_.rsqrt(1 - x * x) ** 3
    ),
    "Acosh": elementwise(
        lambda x, y: math_.rsqrt(x * x - 1), lambda x, y: -x * math_.rsqrt(x * x - 1) ** 3
    ),
    "Asin": elementwise(
        lambda x, y: math_.rsqrt(1 - x * x), lambda x, y: x * math_.rsqrt(1 - x * x) ** 3
    ),
    "Asinh": elementwise(
        lambda x, y: math_.rsqrt(1 + x * x), lambda x, y: -x * math_.rsqrt(1 + x * x) ** 3
    ),
    "Atan": elementwise(lambda x, y: 1 / (1 + x * x), lambda x, y: -2 * x / (1 + x * x) ** 2),
    "Atanh": elementwise(lambda x, y: 1 / (1 - x * x), lambda x, y: 2 * x / (1 - x * x) ** 2),
    "BesselI0": functions.by_tape(elementary_functions.bessel_i0),
    "BesselI1": functions.by_tape(elementary_functions.bessel_i1),
    "BesselJ0": functions.by_tape(elementary_functions.bessel_j0),
    "BesselJ1": functions.by_tape(elementary_functions.bessel_j1),
    "Cos": elementwise(lambda x, y: -tf.sin(x), lambda x, y: -y),
    "Cosh": elementwise(lambda x, y: tf.sinh(x), lambda x, y: y),
    "Dawsn": elementwise(lambda x, y: 1 - 2 * x * y, lambda x, y: -2 * y - 2 * x * (1 - 2 * x * y)),
    "Digamma": elementwise(lambda x, y: _polygamma(1, x), lambda x, y: _polygamma(2, x)),
    "Elu": elementwise(
        lambda x, y: formulas.where_negative(x, formulas.exp_below(x), 1.0),
        lambda x, y: formulas.where_negative(x, formulas.exp_below(x), 0.0),
    ),
    "Erf": elementwise(
        lambda x, y: formulas.TWO_OVER_ROOT_PI * tf.exp(-x * x),
        lambda x, y: -2 * x * formulas.TWO_OVER_ROOT_PI * tf.exp(-x * x),
    ),
    "Erfc": elementwise(
        lambda x, y: -formulas.TWO_OVER_ROOT_PI * tf.exp(-x * x),
        lambda x, y: 2 * x * formulas.TWO_OVER_ROOT_PI * tf.exp(-x * x),
    ),
    "Erfinv": elementwise(
        lambda x, y: tf.exp(y * y) / formulas.TWO_OVER_ROOT_PI,
        lambda x, y: 2 * y * tf.exp(2 * y * y) / formulas.TWO_OVER_ROOT_PI**2,
    ),
    "Exp": elementwise(lambda x, y: y, lambda x, y: y),
    "Expint": elementwise(lambda x, y: tf.exp(x) / x, lambda x, y: tf.exp(x) * (x - 1) / (x * x)),
    "Expm1": elementwise(lambda x, y: tf.exp(x), lambda x, y: tf.exp(x)),
    "Lgamma": elementwise(lambda x, y: math_.digamma(x), lambda x, y: _polygamma(1, x)),
    "Log": elementwise(lambda x, y: 1 / x, lambda x, y: -1 / (x * x)),
    "Log1p": elementwise(lambda x, y: 1 / (1 + x), lambda x, y: -1 / (1 + x) ** 2),
    "Ndtri": elementwise(
        lambda x, y: formulas.ROOT_TWO_PI * tf.exp(y * y / 2),
        lambda x, y: 2 * math.pi * y * tf.exp(y * y),
    ),
    "Reciprocal": elementwise(lambda x, y: -y * y, lambda x, y: 2 * y * y * y),
    "Rsqrt": elementwise(lambda x, y: -0.5 * y**3, lambda x, y: 0.75 * y**5),
    "Selu": elementwise(
        lambda x, y: formulas.where_negative(
            x, SELU_SCALE_ALPHA * formulas.exp_below(x), SELU_SCALE
        ),
        lambda x, y: formulas.where_negative(x, SELU_SCALE_ALPHA * formulas.exp_below(x), 0.0),
    ),
    "Sigmoid": elementwise(
        lambda x, y: y * tf.sigmoid(-x),
        lambda x, y: y * tf.sigmoid(-x) * (tf.sigmoid(-x) - y),
    ),
    "Sin": elementwise(lambda x, y: tf.cos(x), lambda x, y: -y),
    "Sinh": elementwise(lambda x, y: tf.cosh(x), lambda x, y: y),
    "Softplus": elementwise(
        lambda x, y: tf.sigmoid(x), lambda x, y: tf.sigmoid(x) * tf.sigmoid(-x)
    ),
    "Softsign": elementwise(
        lambda x, y: 1 / (1 + tf.abs(x)) ** 2,
        lambda x, y: -2 * tf.sign(x) / (1 + tf.abs(x)) ** 3,
    ),
    "Spence": functions.by_tape(elementary_functions.spence),
    "Sqrt": elementwise(lambda x, y: 0.5 / y, lambda x, y: -0.25 / (x * y)),
    "Square": elementwise(lambda x, y: 2 * x, lambda x, y: tf.constant(2, x.dtype)),
    "Swish": functions.swish(),  # an IdentityN with the gradient of tf.nn.silu
    "Tan": elementwise(lambda x, y: 1 + y * y, lambda x, y: 2 * y * (1 + y * y)),
    "Tanh": elementwise(functions.tanh_first, lambda x, y: -2 * y * functions.tanh_first(x, y)),
    "sin(x)/x": functions.by_tape(elementary_functions.sine_over, operand=1),
    # of two arguments
    "Atan2": partials(formulas.angle_of),
    "Div": partials(formulas.quotient),
    "DivNoNan": partials(functions.safe_quotient),
    "Mul": partials(lambda a, b, y: ([b, a], {(0, 1): tf.ones([], y.dtype)}), is_multilinear=True),
    "Pow": partials(functions.power),
    "RealDiv": partials(formulas.quotient),
    "SquaredDifference": partials(formulas.squared_difference),
    "Xdivy": partials(functions.over),
    "Xlog1py": partials(functions.times_log1p),
    "Xlogy": partials(functions.times_log),
}

OF_WHOLE_ROWS: dict[str, Rule] = {
    "BatchMatMul": matmul.matrix_product(),
    "BatchMatMulV2": matmul.matrix_product(),
    "BatchMatMulV3": matmul.matrix_product(),
    "Einsum": einsum_product(),
    "LogSoftmax": softmax.log_softmax(),
    "MatMul": matmul.matrix_product(),
    "Softmax": softmax.softmax(),
}

CONTROL: dict[str, Rule] = {
    "Case": control_flow.branches(),
    "If": control_flow.branches(),
    "PartitionedCall": control_flow.compiled(),
    "StatefulPartitionedCall": control_flow.compiled(),
    "StatelessCase": control_flow.branches(),
    "StatelessIf": control_flow.branches(),
    "StatelessWhile": control_flow.loop(),
    "While": control_flow.loop(),
}

BY_FORMULA: dict[str, Rule] = {
    "SparseSoftmaxCrossEntropyWithLogits": through(softmax.cross_entropy),
    # The formulas that mend TensorFlow's own derivatives, where no row above says more.
    **{
        op_type: through(formula)
        for op_type, formula in {**OVERRIDES, **REFINED}.items()
        if not any(op_type in rules for rules in (LINEAR, PIECEWISE_LINEAR, ELEMENTWISE))
    },
}

WITHOUT_DERIVATIVE: dict[str, Rule] = dict.fromkeys(
    (
        "BroadcastGradientArgs",
        "Ceil",
        "Floor",
        "OnesLike",
        "Rank",
        "Rint",
        "Round",
        "Shape",
        "ShapeN",
        "Sign",
        "Size",
        "StopGradient",
        "ZerosLike",
    ),
    nothing(),
)

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
