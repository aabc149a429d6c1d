"""How each of ATen's operations hands derivatives on: the list of what Taylor propagation knows."""

from __future__ import annotations

import math
import operator

import torch

from keras_curvature.engines.op_types import (
    BENT,
    OWN,
    Curve,
    difference,
    elsewhere,
    itself,
)
from keras_curvature.engines.taylor import elementwise as formulas
from keras_curvature.engines.taylor import recurrences
from keras_curvature.engines.taylor.registry import Rule, register
from keras_curvature.engines.taylor.rule_constructors import (
    elementwise,
    identity,
    nothing,
)
from keras_curvature.engines.torch.gradient_overrides import (
    LOG_2,
)
from keras_curvature.engines.torch.memory import READ, WRITE
from keras_curvature.engines.torch.taylor.rules.elementwise import (
    by_params,
    elu,
    elu_series,
    gelu,
    gelu_series,
    log_softmax,
    partials,
    power,
    quotient,
    series_of,
    shares,
    sigmoid,
    silu,
    silu_series,
    softmax,
    softplus,
    softplus_series,
    sum_of,
    tanh,
)
from keras_curvature.engines.torch.taylor.rules.products import convolution, matrix_product
from keras_curvature.engines.torch.taylor.rules.selection import (
    chosen_entries,
    clipped,
    filled,
    largest_of_axes,
    piecewise,
    pooled,
    scaled_below,
    selection,
)
from keras_curvature.engines.torch.taylor.rules.shapes import (
    cast,
    cumulated,
    expanded,
    flipped,
    folded,
    joined,
    linear_one_by_one,
    mean,
    moved,
    padded,
    parted,
    permuted,
    reshaped,
    selected,
    sliced,
    split,
    summed,
    transposed,
    written_over,
)

LOG_10 = math.log(10)

LINEAR: dict[str, Rule] = {
    "_reshape_alias": moved(reshaped),
    "_to_copy": moved(cast),
    "_unsafe_view": moved(reshaped),
    "add": sum_of(1),
    "cat": joined(torch.cat),
    "clone": identity(),
    "constant_pad_nd": moved(padded),
    "contiguous": identity(),
    "copy": written_over(),
    "cumsum": moved(cumulated),
    "expand": moved(expanded),
    "fill": written_over(),
    "flip": moved(flipped),
    "masked_fill": filled(),
    "mean": moved(mean),
    "neg": moved(lambda step, stack: -stack),
    "permute": moved(permuted),
    "select": moved(selected),
    "slice": moved(sliced),
    "split": parted(split),
    "split_with_sizes": parted(split),
    "squeeze": moved(reshaped),
    "stack": joined(torch.stack, more=1),
    "sub": sum_of(-1),
    "sum": moved(summed),
    "transpose": moved(transposed),
    "unbind": parted(lambda step, stack, dim: stack.unbind(dim)),
    "unsafe_split": parted(split),
    "unsafe_split_with_sizes": parted(split),
    "unsqueeze": moved(reshaped),
    "view": moved(reshaped),
    **dict.fromkeys(
        ("_adaptive_avg_pool2d", "avg_pool2d", "avg_pool3d", "im2col", "col2im",
         "upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d",
         "upsample_nearest1d", "upsample_nearest3d", "upsample_linear1d", "upsample_trilinear3d",
         "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_nearest_exact2d"),
        folded(),
    ),
    **dict.fromkeys(
        (READ, WRITE, "_conj", "_fft_c2c", "_fft_c2r", "_fft_r2c", "as_strided",
         "as_strided_scatter", "diag_embed", "diagonal", "diagonal_scatter", "embedding",
         "gather", "imag", "index",
         "index_add", "index_put", "index_select", "masked_scatter", "real", "repeat", "roll",
         "rot90", "scatter", "scatter_add", "select_scatter", "slice_scatter", "trace", "tril",
         "triu", "unfold", "view_as_complex", "view_as_real", "_unsafe_index",
         "_unsafe_index_put", "squeeze_copy", "view_copy", "resolve_conj"),
        linear_one_by_one(),
    ),
}  # fmt: skip

PIECEWISE_LINEAR: dict[str, Rule] = {
    "abs": elementwise(lambda x, y: formulas.where_negative(x, -1, 1)).kinked(
        "abs", "sqrt(x² + ε)", itself
    ),
    "amax": largest_of_axes(torch.argmax),
    "amin": largest_of_axes(torch.argmin),
    "clamp": clipped(),
    "clamp_max": clipped(),
    "clamp_min": clipped(),
    "cummax": chosen_entries("cumulative maximum", "logsumexp"),
    "cummin": chosen_entries("cumulative minimum", "logsumexp"),
    "fmod": piecewise("remainder", "a sine and a cosine"),
    "hardtanh": clipped(),
    "kthvalue": chosen_entries("sorting", "softmax weights"),
    "leaky_relu": scaled_below(),
    "max": chosen_entries("maximum over an axis", "a mean or logsumexp"),
    "max_pool2d_with_indices": pooled(),
    "max_pool3d_with_indices": pooled(),
    "maximum": partials(formulas.chosen(torch.ge)).kinked("maximum", "logaddexp", difference),
    "median": chosen_entries("median", "a mean"),
    "min": chosen_entries("minimum over an axis", "a mean or -logsumexp(-x)"),
    "minimum": partials(formulas.chosen(torch.lt)).kinked(
        "minimum", "-logaddexp(-a, -b)", difference
    ),
    "nanmedian": chosen_entries("median", "a mean"),
    "relu": elementwise(lambda x, y: formulas.where_positive(x, 1, 0)).kinked(
        "relu", "softplus or silu", itself
    ),
    "relu6": clipped("relu6", "silu"),
    "remainder": piecewise("remainder", "a sine and a cosine"),
    "sort": chosen_entries("sorting", "softmax weights"),
    "topk": chosen_entries("sorting", "softmax weights"),
    "where": selection(),
}

ELEMENTWISE: dict[str, Rule] = {
    "_log_softmax": log_softmax().smooth("softmax"),
    "_softmax": softmax().smooth("softmax"),
    "acos": elementwise(
        lambda x, y: -torch.rsqrt(1 - x * x),
        lambda x, y: -x * torch.rsqrt(1 - x * x) ** 3,
        recurrences.arcsine,
    ),
    "acosh": elementwise(
        lambda x, y: torch.rsqrt(x * x - 1),
        lambda x, y: -x * torch.rsqrt(x * x - 1) ** 3,
        recurrences.arcsinh,
    ),
    "asin": elementwise(
        lambda x, y: torch.rsqrt(1 - x * x),
        lambda x, y: x * torch.rsqrt(1 - x * x) ** 3,
        recurrences.arcsine,
    ),
    "asinh": elementwise(
        lambda x, y: torch.rsqrt(1 + x * x),
        lambda x, y: -x * torch.rsqrt(1 + x * x) ** 3,
        recurrences.arcsinh,
    ),
    "atan": elementwise(
        lambda x, y: 1 / (1 + x * x), lambda x, y: -2 * x / (1 + x * x) ** 2, recurrences.arctan
    ),
    "atan2": partials(formulas.angle_of, formulas.angle_series),
    "atanh": elementwise(
        lambda x, y: 1 / (1 - x * x), lambda x, y: 2 * x / (1 - x * x) ** 2, recurrences.arctanh
    ),
    "cos": elementwise(lambda x, y: -torch.sin(x), lambda x, y: -y, recurrences.oscillating),
    "cosh": elementwise(lambda x, y: torch.sinh(x), lambda x, y: y, recurrences.hyperbolic),
    "digamma": elementwise(
        lambda x, y: torch.polygamma(1, x),
        lambda x, y: torch.polygamma(2, x),
        recurrences.of_derivatives(torch.polygamma),
    ),
    "div": quotient(),
    "elu": by_params(elu, "elu", elu_series),
    "kinked_elu": by_params(elu, solution=elu_series).with_traits(
        curve=Curve("elu", "silu or gelu", BENT)
    ),
    "erf": elementwise(
        lambda x, y: formulas.TWO_OVER_ROOT_PI * torch.exp(-x * x),
        lambda x, y: -2 * x * formulas.TWO_OVER_ROOT_PI * torch.exp(-x * x),
        recurrences.error_function,
    ).smooth("gelu or erf"),
    "erfc": elementwise(
        lambda x, y: -formulas.TWO_OVER_ROOT_PI * torch.exp(-x * x),
        lambda x, y: 2 * x * formulas.TWO_OVER_ROOT_PI * torch.exp(-x * x),
        recurrences.error_function,
    ).smooth("gelu or erf"),
    "erfinv": elementwise(
        lambda x, y: torch.exp(y * y) / formulas.TWO_OVER_ROOT_PI,
        lambda x, y: 2 * y * torch.exp(2 * y * y) / formulas.TWO_OVER_ROOT_PI**2,
        recurrences.inverse_error_function,
    ),
    "exp": elementwise(lambda x, y: y, lambda x, y: y, recurrences.exponential).smooth("exp"),
    "exp2": elementwise(
        lambda x, y: LOG_2 * y, lambda x, y: LOG_2**2 * y, recurrences.to_the_base(2)
    ).smooth("exp"),
    "expm1": elementwise(
        lambda x, y: torch.exp(x), lambda x, y: torch.exp(x), recurrences.exponential_slope
    ),
    "gelu": by_params(gelu, "gelu or erf", gelu_series),
    "lgamma": elementwise(
        lambda x, y: torch.digamma(x),
        lambda x, y: torch.polygamma(1, x),
        recurrences.of_derivatives(lambda k, x: torch.polygamma(k - 1, x)),
    ),
    "log": elementwise(lambda x, y: 1 / x, lambda x, y: -1 / (x * x), recurrences.logarithm),
    "log10": elementwise(
        lambda x, y: 1 / (LOG_10 * x),
        lambda x, y: -1 / (LOG_10 * x * x),
        recurrences.logarithm_to_the_base(10),
    ),
    "log1p": elementwise(
        lambda x, y: 1 / (1 + x), lambda x, y: -1 / (1 + x) ** 2, recurrences.logarithm
    ),
    "log2": elementwise(
        lambda x, y: 1 / (LOG_2 * x),
        lambda x, y: -1 / (LOG_2 * x * x),
        recurrences.logarithm_to_the_base(2),
    ),
    "logaddexp": partials(shares(1), formulas.log_of_sum(1)).smooth("softplus"),
    "logaddexp2": partials(shares(LOG_2), formulas.log_of_sum(LOG_2)).smooth("softplus"),
    "mul": partials(
        lambda a, b, y: ([b, a], {(0, 1): torch.ones((), dtype=y.dtype, device=y.device)}),
        operator.mul,
        is_multilinear=True,
    ),
    "pow": partials(power, formulas.power_series),
    "reciprocal": elementwise(lambda x, y: -y * y, lambda x, y: 2 * y**3, recurrences.reciprocal),
    "rsqrt": elementwise(lambda x, y: -0.5 * y**3, lambda x, y: 0.75 * y**5, recurrences.rsqrt),
    "sigmoid": by_params(sigmoid, "sigmoid", series_of(recurrences.sigmoid)),
    "silu": by_params(silu, "silu", silu_series),
    "sin": elementwise(lambda x, y: torch.cos(x), lambda x, y: -y, recurrences.oscillating),
    "sinh": elementwise(lambda x, y: torch.cosh(x), lambda x, y: y, recurrences.hyperbolic),
    "softplus": by_params(softplus, "softplus", softplus_series),
    "sqrt": elementwise(lambda x, y: 0.5 / y, lambda x, y: -0.25 / (x * y), recurrences.sqrt),
    "square": elementwise(
        lambda x, y: 2 * x, lambda x, y: torch.full_like(x, 2), recurrences.square
    ),
    "tan": elementwise(lambda x, y: 1 + y * y, lambda x, y: 2 * y * (1 + y * y), recurrences.tan),
    "tanh": by_params(tanh, "tanh", series_of(recurrences.tanh)),
}

OF_WHOLE_ROWS: dict[str, Rule] = {
    "bmm": matrix_product(),
    "convolution": convolution(),
    "mm": matrix_product(),
}

WITHOUT_DERIVATIVE: dict[str, Rule] = {
    **dict.fromkeys(
        ("argmax", "argmin", "argsort", "bernoulli", "binomial", "bitwise_and", "bitwise_not",
         "bitwise_or", "bitwise_xor", "bucketize", "ceil", "eq", "floor", "floor_divide",
         "isfinite", "isinf", "isnan", "logical_and", "logical_not", "logical_or", "logical_xor",
         "multinomial", "ne", "nextafter", "poisson", "round", "searchsorted", "signbit",
         "stop_gradient", "trunc"),
        nothing(),
    ),
    **dict.fromkeys(
        ("cauchy", "empty_like", "exponential", "full_like", "geometric", "log_normal",
         "new_empty", "new_full", "new_ones", "new_zeros", "normal_functional", "ones_like",
         "rand_like", "randint_like", "randn_like", "random", "uniform", "zero", "zeros_like"),
        nothing(shapes_only=True, switches=elsewhere),
    ),
    **dict.fromkeys(("ge", "gt", "le", "lt"), nothing(switches=difference)),
    "sgn": nothing(switches=itself),
    "sign": nothing(switches=itself),
}  # fmt: skip

for _rules in (LINEAR, PIECEWISE_LINEAR, ELEMENTWISE, OF_WHOLE_ROWS, WITHOUT_DERIVATIVE):
    for _op_type, _rule in _rules.items():
        register(_op_type, _rule)
        OWN[_op_type] = _rule.traits
