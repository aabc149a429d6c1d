"""The named derivatives."""

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

SLOPE, CURVATURE = "slope", "curvature"
"""What engines find along directions, which no user asks for by name."""
