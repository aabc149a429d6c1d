"""Quotients and products that are 0 where one factor is, and so are their derivatives."""

from __future__ import annotations

from typing import Any

import torch

from keras_curvature.engines.torch import conversion
from keras_curvature.typing import Tensor


def divide_no_nan(a: Any, b: Any) -> Tensor:
    """The quotient, and 0 where the divisor is."""
    a, b = conversion.tensors(a, b)
    nothing = b == 0
    return torch.where(nothing, 0, a / torch.where(nothing, 1, b))


def multiply_no_nan(a: Any, b: Any) -> Tensor:
    """The product, and 0 where the second factor is, be the first one infinite or NaN.

    Where both are finite the derivative is that of the product, also at 0.
    """
    a, b = conversion.tensors(a, b)
    return torch.where((b == 0) & ~torch.isfinite(a), 0, a) * b
