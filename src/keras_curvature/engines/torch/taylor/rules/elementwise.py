"""Functions of each number by itself, and of whole rows."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from keras_curvature.engines.op_types import (
    EVERY_INPUT,
    Traits,
)
from keras_curvature.engines.taylor import elementwise as formulas
from keras_curvature.engines.taylor.chain_rule import Argument
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.recurrences import Recurrence, Solution, itself
from keras_curvature.engines.taylor.registry import Jets, Rule, Step
from keras_curvature.engines.taylor.rule_constructors import function_of, normalised
from keras_curvature.engines.taylor.rule_constructors import partials as partials_of_tensors
from keras_curvature.engines.taylor.series import Series
from keras_curvature.engines.taylor.softmax_series import log_softmax_series, softmax_series
from keras_curvature.engines.torch.gradient_overrides import (
    ROOT_2_OVER_PI,
    ROOT_HALF,
    slope_of_tanh,
)
from keras_curvature.engines.torch.softmax_functions import deviation


def partials(
    derivatives: Callable[..., Any], series: Callable[..., Any] | None = None, **traits: Any
) -> Rule:
    """An elementwise function of several arguments, some of which may be plain numbers."""

    def of_tensors(*given: Any) -> Any:
        y = given[-1]
        tensors = (
            x if isinstance(x, torch.Tensor) else torch.as_tensor(x, dtype=y.dtype, device=y.device)
            for x in given
        )
        return derivatives(*tensors)

    return partials_of_tensors(of_tensors, series, **traits)


def by_params(
    derivatives: Callable[..., tuple[Any, Any]],
    word: str = "",
    solution: Callable[..., Recurrence] | None = None,
) -> Rule:
    """An elementwise function with parameters: from these, `x` and `y` to both derivatives.

    Args:
        derivatives: as above.
        word: what it is called.
        solution: from these, `x`, `y` and both derivatives to its power series.
    """

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        x, y, jet = step.inputs[0], step.outputs[0], jets[0]
        assert jet is not None
        p = step.op.params
        first, second = derivatives(p, x, y)
        series = None if solution is None else functools.partial(solution, p)
        return [function_of(x, y, jet, mode, first, second, series)]

    rule = Rule(propagate, Traits(is_pointwise=True), has_series=solution is not None)
    return rule.smooth(word) if word else rule


def power(x: Any, p: Any, y: Any) -> Any:
    """`x ** p`, with 0 where a factor of 0 meets an infinite power."""

    def times(power_of_x: Any, factor: Any) -> Any:
        return torch.where(factor == 0, torch.zeros_like(power_of_x), power_of_x * factor)

    one = torch.ones((), dtype=x.dtype, device=x.device)
    log = torch.log(torch.where(x > 0, x, one))
    steep = torch.where((x == 0) & (p <= 1), torch.log(x), log)
    mixed = x ** (p - 1) * (1 + p * steep)
    first, second = times(x ** (p - 1), p), times(x ** (p - 2), p * (p - 1))
    return [first, y * log], {(0, 0): second, (0, 1): mixed, (1, 1): y * log * log}


def shares(rate: float) -> Callable[..., Any]:
    """Of the logarithm of a sum of two exponentials."""

    def derivatives(a: Any, b: Any, y: Any) -> Any:
        one, other = torch.sigmoid(rate * (a - b)), torch.sigmoid(rate * (b - a))
        bend = rate * one * other
        return [one, other], {(0, 0): bend, (0, 1): -bend, (1, 1): bend}

    return derivatives


def tanh(p: Any, x: Any, y: Any) -> Any:
    """Of `tanh`."""
    slope = slope_of_tanh(x)
    return slope, -2 * y * slope


def sigmoid(p: Any, x: Any, y: Any) -> Any:
    """Of the logistic function."""
    rest = torch.sigmoid(-x)
    slope = y * rest
    return slope, slope * (rest - y)


def softplus(p: Any, x: Any, y: Any) -> Any:
    """Of `log(1 + exp(βx)) / β`."""
    beta = p["beta"]
    return torch.sigmoid(beta * x), beta * torch.sigmoid(beta * x) * torch.sigmoid(-beta * x)


def silu(p: Any, x: Any, y: Any) -> Any:
    """Of `x sigmoid(x)`."""
    s, rest = torch.sigmoid(x), torch.sigmoid(-x)
    return s * (1 + x * rest), s * rest * (2 + x * (rest - s))


def gelu(p: Any, x: Any, y: Any) -> Any:
    """Of `x Φ(x)`, or of what approximates it."""
    if p["approximate"] == "tanh":
        a = ROOT_2_OVER_PI
        u, slope, bend = a * (x + 0.044715 * x**3), a * (1 + 0.134145 * x * x), a * 0.26829 * x
        s, rest = torch.sigmoid(2 * u), torch.sigmoid(-2 * u)
        up, upp = 2 * slope, 2 * bend
        first = s * rest * up
        return s + x * first, 2 * first + x * s * rest * (upp + (rest - s) * up * up)
    density = torch.exp(-0.5 * x * x) / formulas.ROOT_TWO_PI
    return 0.5 * torch.erfc(-x * ROOT_HALF) + x * density, (2 - x * x) * density


def elu(p: Any, x: Any, y: Any) -> Any:
    """Of `x` above 0 and an exponential below."""
    alpha, scale, rate = p["alpha"], p["scale"], p["input_scale"]
    below = scale * alpha * rate * torch.exp(rate * _below(x))
    up = x > 0
    first = torch.where(up, torch.full_like(x, scale), below)
    return first, torch.where(up, torch.zeros_like(x), rate * below)


def series_of(solution: Solution) -> Callable[..., Recurrence]:
    """That of a function without parameters."""
    return lambda p, x, y, first, second: solution(x, y, first, second)


def softplus_series(p: Any, x: Any, y: Any, first: Any, second: Any) -> Recurrence:
    """Of `log(1 + exp(βx)) / β`."""
    slope, bend = Recurrence(first), Recurrence(second)
    bend.grows(p["beta"] * (bend * (1 - 2 * slope)))
    return Recurrence(y).grows(slope.grows(bend))


def silu_series(p: Any, x: Any, y: Any, first: Any, second: Any) -> Recurrence:
    """Of `x sigmoid(x)`."""
    share = Recurrence(torch.sigmoid(x))
    return itself(x) * share.grows(share * (1 - share))


def gelu_series(p: Any, x: Any, y: Any, first: Any, second: Any) -> Recurrence:
    """Of `x Φ(x)`, or of what approximates it."""
    z = itself(x)
    if p["approximate"] == "tanh":
        u = 2 * ROOT_2_OVER_PI * (z + 0.044715 * (z * z * z))
        rate = 2 * ROOT_2_OVER_PI * (1 + 0.134145 * (z * z))
        share = Recurrence(torch.sigmoid(u[0]))
        return z * share.grows(share * (1 - share) * rate)
    share = Recurrence(0.5 * torch.erfc(-x * ROOT_HALF))
    density = Recurrence(torch.exp(-0.5 * x * x) / formulas.ROOT_TWO_PI)
    return z * share.grows(density.grows(-1 * (z * density)))


def elu_series(p: Any, x: Any, y: Any, first: Any, second: Any) -> Recurrence:
    """Of `x` above 0 and an exponential below."""
    bend = Recurrence(second)
    bend.grows(p["input_scale"] * bend)
    return Recurrence(y).grows(Recurrence(first).grows(bend))


def _below(x: Any) -> Any:
    """What of `x` is below 0."""
    return torch.clamp(x, max=0.0)


def _softmax_dim(step: Step) -> int:
    return int(step.op.params["dim"]) % step.inputs[0].ndim - step.inputs[0].ndim


def softmax() -> Rule:
    """`y' = y t` and `y'' = y (t² - Σ y t² + …)` with `t = z' - Σ y z'`."""

    def around(step: Step, stack: Any) -> Any:
        return deviation(step.outputs[0], stack, _softmax_dim(step))

    def scaled(step: Step, stack: Any) -> Any:
        return step.outputs[0] * stack

    def weighted(step: Step, stack: Any) -> Any:
        return scaled(step, around(step, stack))

    def series(step: Step, u: Series) -> Series:
        return softmax_series(u, step.outputs[0], _softmax_dim(step))

    return normalised(around, scaled, weighted, weighted, series)


def log_softmax() -> Rule:
    """`y' = t` and `y'' = -Σ p t² + z'' - Σ p z''` with `p = softmax(z)`, `t = z' - Σ p z'`."""

    def p(step: Step) -> Any:
        return torch.exp(step.outputs[0])

    def around(step: Step, stack: Any) -> Any:
        return deviation(p(step), stack, _softmax_dim(step))

    def apply(step: Step, stack: Any) -> Any:
        total = torch.sum(p(step) * stack, _softmax_dim(step), keepdim=True)
        return -total * torch.ones_like(p(step))

    def adjoint(step: Step, weight: Any) -> Any:
        return -p(step) * torch.sum(weight, _softmax_dim(step), keepdim=True)

    def series(step: Step, u: Series) -> Series:
        return log_softmax_series(u, p(step), step.outputs[0], _softmax_dim(step))

    return normalised(around, lambda step, stack: stack, apply, adjoint, series)


def sum_of(sign: int) -> Rule:
    """`a + αb` or `a - αb`."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        alpha = sign * step.op.params.get("alpha", 1)
        y = step.outputs[0]
        factor = None if alpha == 1 else torch.full((), alpha, dtype=y.dtype, device=y.device)
        slopes = (None, factor)
        arguments = [
            Argument(jet, slope) for jet, slope in zip(jets, slopes, strict=True) if jet is not None
        ]
        return [mode.elementwise(y, arguments, {})]

    return Rule(propagate, Traits(is_pointwise=True, linear_in=EVERY_INPUT))


def quotient() -> Rule:
    """`a / b`; rounded to a whole number it has no derivative."""
    plain = partials(formulas.quotient, operator.truediv, linear_in=(0,))

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        if step.op.params.get("rounding_mode"):
            return [None]
        return plain.propagate(step, jets, mode)

    return replace(plain, propagate=propagate)
