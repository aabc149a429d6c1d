"""Where PyTorch's own derivatives lose digits, halve a tie or are missing, and what replaces them.

PyTorch writes the slope of tanh as `1 - y²`, of which nothing is left once `y` rounds to 1, and the
slope of the largest probability of a softmax as a difference of numbers of which nothing is left
either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from keras_curvature.engines.expansions import (
    FAR_BESSEL,
    FAR_ERROR,
    OF_I,
    of_bessel_tail,
    of_error_tail,
    of_first_bessel,
    polynomial,
)
from keras_curvature.engines.torch.memory import Geometry
from keras_curvature.engines.torch.softmax_functions import log_softmax, logsumexp, softmax

Function = Callable[..., Any]


def _sloped(value: Function, *slopes: Function) -> Function:
    """A function of some tensors with its slopes, which are differentiated in their turn."""

    def gradient(ctx: Any, upstream: Any) -> Any:
        x = ctx.saved_tensors
        pairs = zip(slopes, x, ctx.needs_input_grad, strict=True)
        return tuple(
            _sum_to(upstream * slope(*x), given) if needed else None
            for slope, given, needed in pairs
        )

    class Sloped(torch.autograd.Function):
        """The function, as `torch.func` takes it, which takes longer."""

        generate_vmap_rule = True
        backward = staticmethod(gradient)

        @staticmethod
        def forward(*x: Any) -> Any:
            return value(*x)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

    class SlopedAsItIs(torch.autograd.Function):
        """The function, for autograd alone."""

        backward = staticmethod(gradient)

        @staticmethod
        def forward(ctx: Any, *x: Any) -> Any:
            ctx.save_for_backward(*x)
            return value(*x)

    def function(*x: Any) -> Any:
        first = next(y for y in x if isinstance(y, torch.Tensor))
        given = [y if isinstance(y, torch.Tensor) else torch.as_tensor(y).to(first) for y in x]
        if torch._C._are_functorch_transforms_active():
            return Sloped.apply(*given)
        return SlopedAsItIs.apply(*given) if torch.is_grad_enabled() else value(*given)

    return function


def _sum_to(gradient: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return gradient if gradient.shape == like.shape else gradient.sum_to_size(like.shape)


def _digits_of_slope_of_tanh(x: torch.Tensor) -> torch.Tensor:
    """`1 - tanh²`, of which digits are left where `tanh` rounds to 1."""
    sech = torch.reciprocal(torch.cosh(x))
    return sech * sech


_slope_of_sigmoid: Function = _sloped(
    lambda x: torch.sigmoid(x) * torch.sigmoid(-x),
    lambda x: -_slope_of_sigmoid(x) * tanh(x / 2),
)
slope_of_tanh: Function = _sloped(
    _digits_of_slope_of_tanh, lambda x: -2 * slope_of_tanh(x) * tanh(x)
)
sigmoid: Function = _sloped(torch.sigmoid, _slope_of_sigmoid)
tanh: Function = _sloped(torch.tanh, slope_of_tanh)
expm1: Function = _sloped(torch.expm1, torch.exp)
logaddexp: Function = _sloped(
    torch.logaddexp, lambda a, b: sigmoid(a - b), lambda a, b: sigmoid(b - a)
)
LOG_2 = 0.6931471805599453
logaddexp2: Function = _sloped(
    torch.logaddexp2,
    lambda a, b: sigmoid(LOG_2 * (a - b)),
    lambda a, b: sigmoid(LOG_2 * (b - a)),
)


def _is(condition: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return condition.to(like.dtype)


maximum: Function = _sloped(torch.maximum, lambda a, b: _is(a >= b, a), lambda a, b: _is(a < b, b))
minimum: Function = _sloped(torch.minimum, lambda a, b: _is(a < b, a), lambda a, b: _is(a >= b, b))
"""A tie is one where `a` is about to be the larger.

So is it for `abs(a - b)`, which has `a - b`: these three stand together in formulas of smooth
functions, such as `hypot`, which have their derivatives if all are on the branch of one neighbour
of the point.
"""


def _side(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x < 0, -1.0, 1.0).to(x.dtype)


absolute: Function = _sloped(torch.abs, _side)


def _over_x(x: torch.Tensor, i1: Function, decay: Callable[[Any], Any]) -> torch.Tensor:
    """`I₁(x) / x`, with a decaying factor or without, near 0 by the series (DLMF 10.25.2)."""
    near = torch.abs(x) < 2
    inside, outside = torch.where(near, x, 0.0), torch.where(near, 1.0, x)
    series = polynomial(of_first_bessel(1), inside * inside)
    return torch.where(near, decay(inside) * series, i1(outside) / outside)


i1: Function = _sloped(torch.special.i1, lambda x: i0(x) - _over_x(x, i1, torch.ones_like))
i0: Function = _sloped(torch.special.i0, i1)
_i0e: Function = _sloped(torch.special.i0e, lambda x: _i1e(x) - _side(x) * _i0e(x))
_i1e: Function = _sloped(
    torch.special.i1e,
    lambda x: _i0e(x) - _over_x(x, _i1e, lambda x: torch.exp(-_side(x) * x)) - _side(x) * _i1e(x),
)
"""By `I₀' = I₁` and `I₁' = I₀ - I₁ / x` (DLMF 10.29), and the slope of `abs` at 0."""


def _with_tail(function: Function, is_far: Function, tail: Function, end: float) -> Function:
    """A function that is differentiated by its expansion where its slopes have no digits.

    Nearer it is differentiated in float64, where enough of them are left.
    """

    def whole(x: torch.Tensor) -> torch.Tensor:
        far = is_far(x, end)
        near = function(torch.where(far, 0.0, x).double()).to(x.dtype)
        return torch.where(far, tail(torch.where(far, x, end)), near)

    return whole


def _tail_of_i(order: int) -> Function:
    terms = [OF_I * term for term in of_bessel_tail(order, -1)]

    def tail(x: torch.Tensor) -> torch.Tensor:
        size = torch.abs(x)
        return _side(x) ** order * polynomial(terms, 1 / size) / torch.sqrt(size)

    return tail


def _tail_of_erfcx(x: torch.Tensor) -> torch.Tensor:
    return polynomial(of_error_tail(-1), 0.5 / (x * x)) / (math.sqrt(math.pi) * x)


def _tail_of_log_ndtr(x: torch.Tensor) -> torch.Tensor:
    series = torch.log(polynomial(of_error_tail(-1), 1 / (x * x)))
    return series - x * x / 2 - torch.log(torch.abs(x)) - math.log(2 * math.pi) / 2


i0e = _with_tail(_i0e, lambda x, end: torch.abs(x) > end, _tail_of_i(0), FAR_BESSEL)
i1e = _with_tail(_i1e, lambda x, end: torch.abs(x) > end, _tail_of_i(1), FAR_BESSEL)
erfcx = _with_tail(torch.special.erfcx, torch.gt, _tail_of_erfcx, FAR_ERROR)
log_ndtr = _with_tail(torch.special.log_ndtr, lambda x, end: x < -end, _tail_of_log_ndtr, FAR_ERROR)


_part: Function = _sloped(
    lambda a, b: a * _inverse_hypot(a, b),
    lambda a, b: _part(b, a) ** 2 * _inverse_hypot(a, b),
    lambda a, b: -_part(a, b) * _part(b, a) * _inverse_hypot(a, b),
)
hypot: Function = _sloped(
    torch.hypot,
    lambda a, b: torch.where(_both_are_0(a, b), 1.0, _part(a, b)),
    lambda a, b: _part(b, a),
)
"""The slope of PyTorch's slope is `1 / h - a² / h³`, of which nothing is left for a large `a`.

At 0 it is on the branch of an `a` that is about to be the larger, as on other backends.
"""


def _both_are_0(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a == 0) & (b == 0)


def _inverse_hypot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`1 / h`, and any number at 0, where it is multiplied by 0."""
    return 1 / torch.where(_both_are_0(a, b), 1.0, hypot(a, b))


_scaled_power: Function = _sloped(
    lambda x, p, scale: torch.where(scale == 0, 0.0, scale * torch.pow(x, p)),
    lambda x, p, scale: _scaled_power(x, p - 1, scale * p),
    lambda x, p, scale: _scaled_power(x, p, scale) * _log_of_base(x, p, scale),
    lambda x, p, scale: _scaled_power(x, p, torch.ones_like(p)),
)


def _log_of_base(x: torch.Tensor, p: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """`log(x)`, and 0 where a power of 0 leaves nothing of it."""
    endless = (x == 0) & (p <= 0) & (scale != 0)
    return torch.log(torch.where((x > 0) | endless, x, 1.0))


def power(x: Any, p: Any) -> torch.Tensor:
    """`xᵖ`; a tensor of exponents with slopes of its own: PyTorch's has NaN where `x` is 0."""
    tensors = isinstance(x, torch.Tensor) and isinstance(p, torch.Tensor)
    if not tensors or not (x.is_floating_point() and p.is_floating_point()):
        return torch.pow(x, p)
    x, p = torch.broadcast_tensors(*(y.to(torch.promote_types(x.dtype, p.dtype)) for y in (x, p)))
    found: torch.Tensor = _scaled_power(x, p, torch.ones_like(p))
    return found


def as_strided_scatter(params: Mapping[str, Any], x: torch.Tensor, src: Any) -> torch.Tensor:
    """`x` with others in some places: PyTorch's has a slope by what was there too."""
    offset = params.get("storage_offset") or 0
    places = Geometry(tuple(params["size"]), tuple(params["stride"]), offset, False).places()
    return x.reshape(-1).scatter(0, places.flatten().to(x.device), src.reshape(-1)).reshape(x.shape)


def silu(x: torch.Tensor) -> torch.Tensor:
    """`x sigmoid(x)`."""
    return x * sigmoid(x)


def softplus(params: Mapping[str, Any], x: torch.Tensor) -> torch.Tensor:
    """`log(1 + exp(βx)) / β`, everywhere: PyTorch's is a straight line from βx = 20 on."""
    beta = params["beta"]
    return logaddexp(beta * x, torch.zeros((), dtype=x.dtype, device=x.device)) / beta


def gelu(params: Mapping[str, Any], x: torch.Tensor) -> torch.Tensor:
    """`x Φ(x)`, with the sigmoid or tanh that approximates Φ where that is asked for."""
    if params["approximate"] == "tanh":
        inner = ROOT_2_OVER_PI * (x + 0.044715 * x * x * x)
        return x * sigmoid(2 * inner)
    return 0.5 * x * torch.erfc(-x * ROOT_HALF)


ROOT_2_OVER_PI = 0.7978845608028654
ROOT_HALF = 0.7071067811865476


def elu(params: Mapping[str, Any], x: torch.Tensor) -> torch.Tensor:
    """`x` above 0, `α (exp(γx) - 1)` below."""
    alpha, scale, rate = params["alpha"], params["scale"], params["input_scale"]
    below = alpha * expm1(rate * torch.clamp(x, max=0.0))
    return scale * torch.where(x > 0, x, below)


def _of_inputs(function: Function) -> Function:
    """Of an operation without parameters that change its meaning."""
    return lambda params, *inputs: function(*inputs)


OVERRIDES: dict[str, Function] = {
    "_log_softmax": lambda params, x: log_softmax(x, params["dim"]),
    "_softmax": lambda params, x: softmax(x, params["dim"]),
    "abs": _of_inputs(absolute),
    "as_strided_scatter": as_strided_scatter,
    "elu": elu,
    "expm1": _of_inputs(expm1),
    "fill": lambda params, x, *value: (
        torch.full_like(x, params.get("value", 0), *value)
        if not value
        else torch.zeros_like(x) + value[0]
    ),
    "gelu": gelu,
    "hypot": _of_inputs(hypot),
    "i0": _of_inputs(i0),
    "kinked_elu": elu,
    "logaddexp": _of_inputs(logaddexp),
    "logaddexp2": _of_inputs(logaddexp2),
    "logsumexp": lambda params, x: logsumexp(x, params["dim"], params["keepdim"]),
    "maximum": _of_inputs(maximum),
    "minimum": _of_inputs(minimum),
    "pow": _of_inputs(power),
    "sigmoid": _of_inputs(sigmoid),
    "silu": _of_inputs(silu),
    "softplus": softplus,
    "special_erfcx": _of_inputs(erfcx),
    "special_i0e": _of_inputs(i0e),
    "special_i1": _of_inputs(i1),
    "special_i1e": _of_inputs(i1e),
    "special_log_ndtr": _of_inputs(log_ndtr),
    "tanh": _of_inputs(tanh),
    "zero": lambda params, x: torch.zeros_like(x),
}
"""Operation type -> from its parameters and inputs, real numbers, to its result."""
