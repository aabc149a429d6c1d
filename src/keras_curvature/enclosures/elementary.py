"""The functions of a number that can be enclosed, each a row: f, f', f'', and where they turn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from keras_curvature.enclosures import higher_derivatives
from keras_curvature.enclosures.error_function import bell, erf, erfc
from keras_curvature.enclosures.functions import Break, Function, Periodic
from keras_curvature.typing import Array

ROOT_3 = 0.65847894846240835431  # artanh(1 / sqrt(3)), where tanh''' is 0
ROOT_2_3 = 1.1462158347805888439  # artanh(sqrt(2 / 3)), where tanh'''' is 0
BENDS_OF_BUMP = (-2 * ROOT_3, 2 * ROOT_3)
GELU_4 = tuple(s * math.sqrt((7 + t * math.sqrt(33)) / 2) for s in (-1, 1) for t in (-1, 1))
SILU_4 = (-4.42923510055722798, -1.03195824178074912, 1.03195824178074912, 4.42923510055722798)
ROOT_HALF = math.sqrt(0.5)
LOG_2 = math.log(2)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), precise on both sides."""
    return 1 / (1 + np.exp(-x))


def softplus(x: Array) -> Array:
    """log(1 + exp(x))."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _sech2(x: Array) -> Array:
    e = np.exp(-2 * np.abs(x))
    return 4 * e / (1 + e) ** 2


def _bump(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return e / (1 + e) ** 2


def _slope_of_bump(x: Array) -> Array:
    return -_bump(x) * np.tanh(x / 2)


def _normal(x: Array) -> Array:
    return bell(x, half=True) / math.sqrt(2 * math.pi)


def _cumulated(x: Array) -> Array:
    return erfc(-x * ROOT_HALF) / 2


def _full(y: float) -> Callable[[Array], Array]:
    return lambda x: np.full_like(x, y)


SMOOTH: dict[str, Function | Periodic] = {
    "asinh": Function(
        (np.arcsinh, lambda x: 1 / np.hypot(1, x), lambda x: -x / np.hypot(1, x) ** 3),
        ((), (0.0,), (-ROOT_HALF, ROOT_HALF)),
    ),
    "atan": Function(
        (np.arctan, lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
        ((), (0.0,), (-math.sqrt(1 / 3), math.sqrt(1 / 3))),
    ),
    "cos": Periodic((0.5,)),
    "cosh": Function((np.cosh, np.sinh, np.cosh), ((0.0,), (), (0.0,))),
    "erf": Function(
        (
            erf,
            lambda x: 2 / math.sqrt(math.pi) * bell(x),
            lambda x: -4 / math.sqrt(math.pi) * x * bell(x),
        ),
        ((), (0.0,), (-ROOT_HALF, ROOT_HALF)),
        noise=(2.0, 0.0, 0.0),
    ),
    "erfc": Function(
        (
            erfc,
            lambda x: -2 / math.sqrt(math.pi) * bell(x),
            lambda x: 4 / math.sqrt(math.pi) * x * bell(x),
        ),
        ((), (0.0,), (-ROOT_HALF, ROOT_HALF)),
    ),
    "exp": Function((np.exp, np.exp, np.exp), third=(np.exp, ())),
    "exp2": Function(
        (np.exp2, lambda x: LOG_2 * np.exp2(x), lambda x: LOG_2**2 * np.exp2(x)),
    ),
    "expm1": Function((np.expm1, np.exp, np.exp), third=(np.exp, ())),
    "gelu": Function(
        (
            lambda x: x * _cumulated(x),
            lambda x: _cumulated(x) + x * _normal(x),
            lambda x: _normal(x) * (2 - x * x),
        ),
        ((-0.75179152469356445746,), (-math.sqrt(2), math.sqrt(2)), (-2.0, 0.0, 2.0)),
        third=(lambda x: _normal(x) * x * (x * x - 4), GELU_4),
        noise=(2.0, 4.0, 4.0),
        higher=higher_derivatives.GELU,
    ),
    "log": Function((np.log, lambda x: 1 / x, lambda x: -1 / (x * x)), domain=(0.0, np.inf)),
    "log10": Function(
        (
            np.log10,
            lambda x: 1 / (math.log(10) * x),
            lambda x: -1 / (math.log(10) * x * x),
        ),
        domain=(0.0, np.inf),
    ),
    "log1p": Function(
        (np.log1p, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2), domain=(-1.0, np.inf)
    ),
    "log2": Function(
        (np.log2, lambda x: 1 / (LOG_2 * x), lambda x: -1 / (LOG_2 * x * x)),
        domain=(0.0, np.inf),
    ),
    "mish": Function(
        (
            lambda x: x * np.tanh(softplus(x)),
            lambda x: np.tanh(softplus(x)) + x * _sech2(softplus(x)) * sigmoid(x),
            lambda x: (
                _sech2(softplus(x))
                * (
                    2 * sigmoid(x)
                    + x * sigmoid(x) * (sigmoid(-x) - 2 * sigmoid(x) * np.tanh(softplus(x)))
                )
            ),
        ),
        (
            (-1.1924312145154952121,),
            (-2.25637639636079312, 1.4905711794854284593),
            (-3.2673378465204045761, -0.087934431314914211327, 2.1148425630208771086),
        ),
        noise=(0.0, 8.0, 16.0),
    ),
    "rsqrt": Function(
        (lambda x: 1 / np.sqrt(x), lambda x: -0.5 * x**-1.5, lambda x: 0.75 * x**-2.5),
        domain=(0.0, np.inf),
    ),
    "sigmoid": Function(
        (sigmoid, _bump, _slope_of_bump),
        ((), (0.0,), BENDS_OF_BUMP),
        third=(lambda x: _bump(x) * (1 - 6 * _bump(x)), (-2 * ROOT_2_3, 0.0, 2 * ROOT_2_3)),
        higher=higher_derivatives.SIGMOID,
    ),
    "silu": Function(
        (
            lambda x: x * sigmoid(x),
            lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
            lambda x: _bump(x) * (2 - x * np.tanh(x / 2)),
        ),
        (
            (-1.2784645427610737951,),
            (-2.3993572805154676678, 2.3993572805154676678),
            (-3.435840993535110689, 0.0, 3.435840993535110689),
        ),
        third=(
            lambda x: 3 * _slope_of_bump(x) + x * _bump(x) * (1 - 6 * _bump(x)),
            SILU_4,
        ),
        noise=(0.0, 8.0, 8.0),
        higher=higher_derivatives.SILU,
    ),
    "sin": Periodic((0.0,)),
    "sinh": Function((np.sinh, np.cosh, np.sinh), ((), (0.0,), ())),
    "softplus": Function(
        (softplus, sigmoid, _bump),
        ((), (), (0.0,)),
        third=(_slope_of_bump, BENDS_OF_BUMP),
        higher=higher_derivatives.SOFTPLUS,
    ),
    "softsign": Function(
        (
            lambda x: x / (1 + np.abs(x)),
            lambda x: 1 / (1 + np.abs(x)) ** 2,
            lambda x: -2 * np.sign(x) / (1 + np.abs(x)) ** 3,
        ),
        ((), (0.0,), ()),
        (Break(0.0, (1.0, 1.0), (2.0, -2.0)),),
    ),
    "sqrt": Function(
        (np.sqrt, lambda x: 0.5 / np.sqrt(x), lambda x: -0.25 * x**-1.5), domain=(0.0, np.inf)
    ),
    "square": Function(
        (np.square, lambda x: 2 * x, _full(2.0)),
        ((0.0,), (), ()),
        third=(np.zeros_like, ()),
        higher=higher_derivatives.SQUARE,
    ),
    "tanh": Function(
        (np.tanh, _sech2, lambda x: -2 * np.tanh(x) * _sech2(x)),
        ((), (0.0,), (-ROOT_3, ROOT_3)),
        third=(lambda x: _sech2(x) * (4 - 6 * _sech2(x)), (-ROOT_2_3, 0.0, ROOT_2_3)),
        higher=higher_derivatives.TANH,
    ),
}


def clip(low: float, high: float) -> Function:
    """The number within two ends, either of which may be infinite."""
    breaks, branches = [], [(0.0, 1.0, None)]
    if low > -np.inf:
        breaks.append(Break(low, (0.0, 1.0), (0.0, 0.0)))
        branches.insert(0, (low, 0.0, None))
    if high < np.inf:
        breaks.append(Break(high, (1.0, 0.0), (0.0, 0.0)))
        branches.append((high, 0.0, None))
    return Function(
        (
            lambda x: np.clip(x, low, high),
            lambda x: ((x >= low) & (x <= high)).astype(float),
            np.zeros_like,
        ),
        breaks=tuple(breaks),
        is_exact=True,
        branches=tuple(branches),
    )


def bent(left: float, right: float) -> Function:
    """`left * x` below 0 and `right * x` above."""
    return Function(
        (
            lambda x: np.where(x > 0, right * x, left * x),
            lambda x: np.where(x > 0, right, left),
            np.zeros_like,
        ),
        ((0.0,), (), ()),
        (Break(0.0, (left, right), (0.0, 0.0)),),
        branches=((0.0, left, None), (0.0, right, None)),
        flat=(0.0, 0.0) if min(abs(left) or 1.0, abs(right) or 1.0) > 1e-9 else (-np.inf, np.inf),
    )


ABS, RELU, RELU6 = bent(-1.0, 1.0), clip(0.0, np.inf), clip(0.0, 6.0)


def elu(alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0) -> Function:
    """`scale * x` above 0 and `scale * alpha * (exp(rate * x) - 1)` below."""
    left, steep = scale * alpha * rate, scale * alpha * rate**2
    noise = (0.0, 0.0, 0.0) if rate == 1 else (0.1, 0.1, 0.1)  # of rate * x, far below 0

    def of(factor: float, function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda x: factor * function(rate * x)

    def up_to_0(factor: float, function: Callable[[Array], Array], above: Array) -> Array:
        return np.where(above > 0, 0.0, factor * function(rate * np.minimum(above, 0)))

    return Function(
        (
            lambda x: scale * np.maximum(x, 0) + up_to_0(scale * alpha, np.expm1, x),
            lambda x: np.where(x > 0, scale, up_to_0(left, np.exp, x)),
            lambda x: up_to_0(steep, np.exp, x),
        ),
        ((0.0,), (), ()),
        (Break(0.0, (left, scale), (steep, 0.0)),),
        noise=noise,
        branches=(
            (
                0.0,
                0.0,
                Function(
                    (of(scale * alpha, np.expm1), of(left, np.exp), of(steep, np.exp)), noise=noise
                ),
            ),
            (0.0, scale, None),
        ),
        flat=(-np.inf, 0.0),
    )


SELU = elu(1.6732632423543772848, 1.0507009873554804934)

HARD_SILU = Function(
    (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x > 3, 1.0, np.where(x < -3, 0.0, (2 * x + 3) / 6)),
        lambda x: np.where(np.abs(x) > 3, 0.0, 1 / 3),
    ),
    ((-1.5,), (), ()),
    (Break(-3.0, (0.0, -0.5), (0.0, 1 / 3)), Break(3.0, (1.5, 1.0), (1 / 3, 0.0))),
    noise=(0.0, 4.0, 0.0),
    flat=(-3.0, 3.0),
)


def power(p: float) -> Function:
    """`x ** p`."""

    def of(order: int) -> Callable[[Array], Array]:
        factor = math.prod(p - k for k in range(order))
        if factor == 0:
            return np.zeros_like
        return lambda x: factor * np.power(x, p - order)

    is_whole = p == int(p)
    if is_whole and p >= 0:
        return Function((of(0), of(1), of(2)), ((0.0,), (0.0,), (0.0,)))
    if is_whole:
        return Function((of(0), of(1), of(2)), poles=(0.0,))
    return Function((of(0), of(1), of(2)), domain=(0.0, np.inf))


RECIPROCAL = power(-1.0)


def thresholded(beta: float, threshold: float) -> Function:
    """Softplus, in whose place PyTorch has the number itself beyond a threshold."""
    gap = math.log1p(math.exp(-threshold)) / beta
    return Function(
        (
            lambda x: softplus(beta * x) / beta,
            lambda x: sigmoid(beta * x),
            lambda x: beta * _bump(beta * x),
        ),
        ((), (), (0.0,)),
        noise=(0.0, 0.0, 0.0) if beta == 1 else (0.1, 0.1, 0.1),  # of beta * x, far below 0
        beyond=(threshold / beta, gap, 1.0, 0.0),
    )


def gelu_by_tanh() -> Function:
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    c, a = math.sqrt(2 / math.pi), 0.044715

    def inner(x: Array) -> tuple[Array, Array, Array]:
        return c * (x + a * x**3), c * (1 + 3 * a * x * x), 6 * c * a * x

    def value(x: Array) -> Array:
        return x * sigmoid(2 * inner(x)[0])

    def slope(x: Array) -> Array:
        g, dg, _ = inner(x)
        return sigmoid(2 * g) * (1 + 2 * x * dg * sigmoid(-2 * g))

    def bend(x: Array) -> Array:
        g, dg, ddg = inner(x)
        return _bump(2 * g) * (4 * dg + 2 * x * ddg - 4 * x * dg * dg * np.tanh(g))

    turn = 1.4185040087908283555
    far = 2.0134807246242579281
    return Function(
        (value, slope, bend),
        ((-0.75246142207101625849,), (-turn, turn), (-far, 0.0, far)),
        noise=(1.0, 16.0, 32.0),
    )


GELU_BY_TANH = gelu_by_tanh()


def squareplus(b: float) -> Function:
    """(x + sqrt(x^2 + b)) / 2."""
    root = math.sqrt(b)

    def value(x: Array) -> Array:
        far = np.abs(x) + np.hypot(x, root)
        return np.where(x > 0, far, b / far) / 2

    return Function(
        (
            value,
            lambda x: value(x) / np.hypot(x, root),
            lambda x: b / np.hypot(x, root) ** 3 / 2,
        ),
        ((), (), (0.0,)),
    )
