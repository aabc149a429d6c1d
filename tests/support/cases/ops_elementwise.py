"""Cases of the functions of `keras.ops` that act on each number, or on pairs of numbers."""

from __future__ import annotations

import functools
import math
from typing import Any

from keras import ops

from cases.building import operation_case
from cases.case import Case

ROW = (4,)


def _other(x: Any) -> Any:
    """A second argument that depends on the input too."""
    return 2 * ops.roll(x, 1, axis=-1) + 0.7


special = functools.partial(operation_case, shape=ROW)
"""The case of a function that needs more than its one or two arguments."""


def unary(names: str, *tags: str, **fields: Any) -> list[Case]:
    """Cases of functions of one number, on the interval where they have a derivative."""
    return [
        special(name, lambda x, name=name: getattr(ops, name)(x), *tags, **fields)
        for name in names.split()
    ]


def binary(names: str, *tags: str, **fields: Any) -> list[Case]:
    """Cases of functions of two numbers, of which both depend on the input."""
    return [
        special(name, lambda x, name=name: getattr(ops, name)(x, _other(x)), *tags, **fields)
        for name in names.split()
    ]


def _complex(x: Any) -> Any:
    """Complex numbers from pairs of the last axis, in complex64 whatever `x` is."""
    return ops.view_as_complex(ops.reshape(x, (-1, 2, 2)))


def _real(x: Any) -> Any:
    return x[..., ::2]


def _imaginary(x: Any) -> Any:
    return x[..., 1::2]


def _parts(z: Any) -> list[Any]:
    return [ops.real(z), ops.imag(z)]


def _square_parts(x: Any) -> list[Any]:
    """The parts of the square of the numbers of `_complex`, without complex numbers."""
    a, b = _real(x), _imaginary(x)
    return [a**2 - b**2, 2 * a * b]


def _exponential_parts(x: Any) -> list[Any]:
    a, b = _real(x), _imaginary(x)
    return [ops.exp(a) * ops.cos(b), ops.exp(a) * ops.sin(b)]


UNARY = [
    # smooth everywhere
    *unary("arcsinh arctan cos cosh erf erfc exp expm1 i0 negative sin sinc sinh square tan"),
    *unary("gelu log_sigmoid sigmoid silu softplus squareplus swish tanh tanh_shrink"),
    *unary("deg2rad", low=-180, high=180, step=1.0),
    *unary("rad2deg", low=-1 / 64, high=1 / 64, step=2**-13),
    # smooth where they are defined
    *unary("cbrt log log10 log2 reciprocal rsqrt sqrt", low=0.4, high=1.6),
    *unary("log1p", low=-0.4, high=1.0),
    *unary("arccos arcsin arctanh erfinv", low=-0.7, high=0.7),
    *unary("arccosh", low=1.4, high=2.5),
    # with kinks at 0, at +-0.5, at +-1, at +-3, at 0 and 6
    *unary("abs absolute celu elu fabs leaky_relu relu selu softsign", "kinked"),
    *unary("hard_shrink soft_shrink", "kinked"),
    *unary("hard_tanh sparse_plus sparse_sigmoid", "kinked", low=-2.0, high=2.0),
    *unary("hard_sigmoid hard_silu hard_swish", "kinked", low=-4.0, high=4.0, step=1 / 64),
    *unary("relu6", "kinked", low=-8.0, high=8.0, shape=(8,)),
    # the same number again
    *unary("array conj conjugate convert_to_tensor copy nan_to_num real"),
]

BINARY = [
    *binary("add hypot logaddexp logaddexp2 multiply subtract"),
    *binary("arctan2 divide divide_no_nan power true_divide", low=0.3, high=1.5),
    *binary("fmax fmin maximum minimum", "kinked"),
]

WITH_ARGUMENTS = [
    special("cast", lambda x: ops.cast(x, x.dtype)),
    special("clip", lambda x: ops.clip(x, -0.5, 0.5), "kinked"),
    special(
        "exp2",
        lambda x: ops.exp2(x),
        "float32_only",
        twin=lambda x: ops.exp(math.log(2) * x),
        note="Keras writes it as a power of a float32 2 in a graph.",
    ),
    special("fmod", lambda x: ops.fmod(4 * x, _other(x)), "kinked", low=0.3, high=1.5),
    special("gelu", lambda x: ops.gelu(x, approximate=False), variant="exact"),
    special("ldexp", lambda x: ops.ldexp(x, 1)),
    special("mod", lambda x: ops.mod(4 * x, _other(x)), "kinked", low=0.3, high=1.5, seed=7),
    special("power", lambda x: ops.power(x, 3), variant="cube"),
    special("saturate_cast", lambda x: ops.saturate_cast(x, x.dtype)),
    special("select", lambda x: ops.select([x > 0.5, x < 0], [x**2, ops.sin(x)], 0.1), "kinked"),
    special("threshold", lambda x: ops.threshold(x, 0.4, 0.1), "kinked"),
    special("where", lambda x: ops.where(x > 0, x**3, ops.sin(x)), "kinked"),
]

COMPLEX = [
    special(
        "angle",
        lambda x: ops.angle(_complex(x)),
        *("complex", "float32_inside"),
        twin=lambda x: ops.arctan2(_imaginary(x), _real(x)),
        low=0.2,
        high=1.0,
    ),
    special(
        "conj",
        lambda x: _parts(ops.conj(_complex(x)) ** 2),
        *("complex", "float32_inside"),
        twin=lambda x: [_square_parts(x)[0], -_square_parts(x)[1]],
        variant="complex",
    ),
    special(
        "imag",
        lambda x: ops.imag(_complex(x) ** 2),
        *("complex", "float32_inside"),
        twin=lambda x: _square_parts(x)[1],
    ),
    special("polar", lambda x: _parts(ops.polar(x[:, :2] ** 2, x[:, 2:])), "complex"),
    special(
        "real",
        lambda x: ops.real(_complex(x) ** 2),
        *("complex", "float32_inside"),
        twin=lambda x: _square_parts(x)[0],
        variant="complex",
    ),
    special(
        "view_as_complex",
        lambda x: _parts(ops.exp(_complex(x))),
        *("complex", "float32_inside"),
        twin=_exponential_parts,
    ),
    special(
        "view_as_real",
        lambda x: ops.view_as_real(ops.exp(_complex(x))),
        *("complex", "float32_inside"),
        twin=lambda x: ops.stack(_exponential_parts(x), axis=-1),
    ),
]

CASES = [*UNARY, *BINARY, *WITH_ARGUMENTS, *COMPLEX]
