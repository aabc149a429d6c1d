"""The names of types that stand in more than one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Tensor: TypeAlias = Any
"""A tensor of the backend that Keras runs on."""

TensorLike: TypeAlias = ArrayLike | Tensor
"""A tensor or anything that becomes one."""

Structure: TypeAlias = TensorLike | Sequence[Any] | Mapping[str, Any]
"""A tensor, or a list, tuple or dict of structures, as the model takes or gives it."""

Model: TypeAlias = Callable[..., Any]
"""A Keras model or layer, or a function of tensors."""

Output: TypeAlias = int | str | Callable[[Any], Any] | None
"""Which output to differentiate: see `keras_curvature.derivatives`."""

Wrt: TypeAlias = int | str | Sequence[int | str] | None
"""With respect to what: see `keras_curvature.derivatives`."""

Columns: TypeAlias = int | str | Sequence[int | str] | None
"""Which columns of an input to differentiate by: see `keras_curvature.derivatives`."""

Input: TypeAlias = int | str | tuple[str, int]
"""One number of the input: see `names` of `keras_curvature.derivatives`."""

Names: TypeAlias = str | Sequence[str] | Mapping[str, str | Sequence[Input]]
"""What is asked for: see `keras_curvature.derivatives`."""

Weights: TypeAlias = TensorLike | Callable[[Any], Any]
"""A matrix, one for each example, or what gives either: see `keras_curvature.laplacian`."""

Shape: TypeAlias = Mapping[str | int, str | Sequence[str]]
"""What is asked of a function along single inputs: see `keras_curvature.CurvatureMonitor`."""

ShapeClaims: TypeAlias = str | Mapping[Any, Any]
"""What is claimed of a function over a box: see `keras_curvature.prove`."""

Units = Literal["raw", "std"]
"""`"raw"`: units of the data. `"std"`: standard deviations over the probe."""

Claims: TypeAlias = Mapping[str | tuple[int, ...], Any] | str | Sequence[str]
"""Derivatives that somebody claims, by their names: see `keras_curvature.verify`."""

Array = NDArray[np.floating]
