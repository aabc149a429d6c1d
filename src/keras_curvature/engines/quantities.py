"""The named derivatives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import tensorflow as tf

from keras_curvature.engines.tensorflow.function import FlatFunction

VALUE, JACOBIAN = "value", "jacobian"
HESSIAN, DIAGONAL, LAPLACIAN = "hessian", "hessian_diagonal", "laplacian"
DIRECTIONAL, PRODUCT = "directional_curvature", "hessian_vector_product"

ALONG_AXES = frozenset({HESSIAN, DIAGONAL, LAPLACIAN})
"""Quantities that need the second derivatives along every axis."""

ALONG_V = frozenset({DIRECTIONAL, PRODUCT})
"""Quantities that need those along a given direction."""

BY_REVERSE_MODE = frozenset({VALUE, JACOBIAN, PRODUCT})
"""Quantities that the Taylor engine has reverse mode compute too."""

NAMES = (VALUE, JACOBIAN, HESSIAN, DIAGONAL, LAPLACIAN, DIRECTIONAL, PRODUCT)

Compute = Callable[
    [
        FlatFunction,
        tf.Tensor,
        Sequence[tf.Tensor],
        tf.Tensor | None,
        Collection[str],
        int,
    ],
    dict[str, tf.Tensor],
]
"""From a function, points `(n, d)`, its other inputs, directions `(n, d)` for what needs one,
the wanted names, and how many unit vectors to go through together, to derivatives by name:

value, laplacian, directional curvature `(n, m)`; jacobian, diagonal, product `(n, m, d)`;
hessian `(n, m, d, d)`.
"""

Products = Callable[[FlatFunction, tf.Tensor, Sequence[tf.Tensor], tf.Tensor], tf.Tensor]
"""From directions `(k, n, d)` to their products with the Hessians, `(n, m, k, d)`."""


Trace = Callable[[FlatFunction, tf.Tensor, Sequence[tf.Tensor], tf.Tensor], tf.Tensor]
"""From directions `(k, n, d)` to the mean of `vᵀHv` over them, `(n, m)`."""


RowProducts = Callable[
    [FlatFunction, tf.Tensor, Sequence[tf.Tensor], tf.Tensor, tf.Tensor], tf.Tensor
]
"""Products of rows that are one output of one point each, see `nested.row_products`."""

SLOPE, CURVATURE = "slope", "curvature"

Along = Callable[[FlatFunction, tf.Tensor, Sequence[tf.Tensor], tf.Tensor], dict[str, tf.Tensor]]
"""From directions `(k, n, d)` to `value` `(n, m)`, `slope` `gᵀv` and `curvature` `vᵀHv` along
each, `(n, m, k)`."""


Groups = Along
"""The same from groups of directions `(g, k, n, d)`: means over each group, `(n, m, g)`, of
`(gᵀv)²` and of `vᵀHv`."""
