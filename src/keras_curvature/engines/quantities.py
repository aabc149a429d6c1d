"""The named derivatives."""

from __future__ import annotations

from collections.abc import Collection, Sequence

Partial = tuple[int, ...]
"""A partial derivative: the sorted indexes of the inputs that it is by."""

VALUE, JACOBIAN = "value", "jacobian"
HESSIAN, DIAGONAL, LAPLACIAN = "hessian", "hessian_diagonal", "laplacian"
DIRECTIONAL, PRODUCT = "directional_curvature", "hessian_vector_product"
DIVERGENCE, BIHARMONIC = "divergence", "biharmonic"

HIGHEST_ORDER = 4
"""Of partial derivatives."""

_PARTIAL = "partial"

ALONG_AXES = frozenset({HESSIAN, DIAGONAL, LAPLACIAN})
"""Quantities that need the second derivatives along every axis."""

ALONG_V = frozenset({DIRECTIONAL, PRODUCT})
"""Quantities that need those along a given direction."""

ESTIMATED = frozenset({LAPLACIAN, DIVERGENCE, BIHARMONIC})
"""Quantities that random directions estimate without a bias."""

BY_REVERSE_MODE = frozenset({VALUE, JACOBIAN, PRODUCT, DIVERGENCE})
"""Quantities that the Taylor engine has reverse mode compute too."""

NAMES = (
    VALUE,
    JACOBIAN,
    HESSIAN,
    DIAGONAL,
    LAPLACIAN,
    DIRECTIONAL,
    PRODUCT,
    DIVERGENCE,
    BIHARMONIC,
)
"""All that has a name; see also `partial_name`."""

SLOPE, CURVATURE = "slope", "curvature"
"""What engines find along directions, which no user asks for by name."""


def partial_name(indexes: Sequence[int]) -> str:
    """The name of a partial derivative, the same for any order of the inputs.

    Example:
        >>> partial_name((1, 0))
        'partial 0 1'
    """
    return " ".join([_PARTIAL, *map(str, sorted(indexes))])


def partials_among(names: Collection[str]) -> dict[str, Partial]:
    """The partial derivatives among names."""
    apart = {name: name.split() for name in names}
    return {
        name: tuple(map(int, words[1:])) for name, words in apart.items() if words[0] == _PARTIAL
    }


def highest_order(names: Collection[str]) -> int:
    """Of the derivatives among names."""
    orders = [len(partial) for partial in partials_among(names).values()]
    orders += [
        {VALUE: 0, JACOBIAN: 1, DIVERGENCE: 1, BIHARMONIC: 4}.get(n, 2) for n in NAMES if n in names
    ]
    return max(orders, default=0)
