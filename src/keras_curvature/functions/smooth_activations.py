"""Smooth counterparts of activations with kinks, which a saved model can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Ramp = Callable[[Any], Any]
"""What stands for `max(x, 0)`."""


def ramp(beta: float) -> Ramp:
    """`log(1 + exp(beta x)) / beta`: larger than `max(x, 0)` by at most `log(2) / beta`, at 0.

    It is `max(x, 0)` averaged with the logistic density of standard deviation `1.81 / beta`;
    its second derivative is that density, `beta / 4` at 0 (Dugas et al., Incorporating
    second-order functional knowledge for better option pricing, NeurIPS 2000).
    """
    return lambda x: ops.softplus(beta * x) / beta


def _relu(r: Ramp, x: Any, negative_slope: float = 0.0, max_value: float | None = None) -> Any:
    above = r(x) if max_value is None else r(x) - r(x - max_value)
    return above - negative_slope * r(-x) if negative_slope else above


def _selu(r: Ramp, x: Any) -> Any:
    scale, alpha = 1.0507009873554805, 1.6732632423543772  # Klambauer et al., 2017
    return scale * (r(x) + alpha * ops.expm1(-r(-x)))


SMOOTH: dict[str, Callable[..., Any]] = {
    "abs": lambda r, x: r(x) + r(-x),
    "absolute": lambda r, x: r(x) + r(-x),
    "hard_sigmoid": lambda r, x: (r(x + 3) - r(x - 3)) / 6,
    "hard_silu": lambda r, x: x * (r(x + 3) - r(x - 3)) / 6,
    "hard_swish": lambda r, x: x * (r(x + 3) - r(x - 3)) / 6,
    "hard_tanh": lambda r, x: r(x + 1) - r(x - 1) - 1,
    "leaky_relu": lambda r, x, negative_slope=0.2: r(x) - negative_slope * r(-x),
    "relu": _relu,
    "relu6": lambda r, x: r(x) - r(x - 6),
    "selu": _selu,
    "soft_shrink": lambda r, x, threshold=0.5: r(x - threshold) - r(-x - threshold),
    "sparse_sigmoid": lambda r, x: (r(x + 1) - r(x - 1)) / 2,
}
"""By Keras's name, the activation with a ramp `r` in place of `max(x, 0)`."""


@keras.saving.register_keras_serializable("keras_curvature")
class SmoothActivation:
    """An activation with its kinks rounded off.

    Args:
        of: its name, of `SMOOTH`.
        beta: how sharp the kinks stay.
        **arguments: of that activation.
    """

    def __init__(self, of: str, beta: float, **arguments: float | None) -> None:
        self.of = of
        self.beta = beta
        self.arguments = arguments

    def __call__(self, x: Any) -> Any:
        """Applies it to a tensor."""
        return SMOOTH[self.of](ramp(self.beta), ops.convert_to_tensor(x), **self.arguments)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make another one."""
        return {"of": self.of, "beta": self.beta, **self.arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SmoothActivation:
        """Makes one from such arguments."""
        return cls(**config)


@keras.saving.register_keras_serializable("keras_curvature")
class SmoothPReLU(keras.layers.PReLU):
    """`keras.layers.PReLU` with its kinks rounded off, and the same weight.

    Args:
        beta: how sharp the kinks stay.
        **kwargs: of `keras.layers.PReLU`.
    """

    def __init__(self, beta: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.beta = beta

    def call(self, inputs: Any) -> Any:
        """Applies it to a tensor."""
        r = ramp(self.beta)
        return r(inputs) - self.alpha * r(-inputs)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make another one."""
        return {**super().get_config(), "beta": self.beta}
