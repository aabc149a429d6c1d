"""What is known of JAX's primitives that hold programs of their own."""

from keras_curvature.engines.jax.jaxprs import programs_in
from keras_curvature.engines.programs.program import Operation

LOOPS = {"cond", "scan", "while"}
"""Operations with programs of their own, which are run again and again, or in one case of several.
"""

BY_HAND = {"custom_jvp_call", "custom_vjp_call"}
"""Functions with a derivative of their own that is not one of JAX's."""

CAST = "convert_element_type"
"""What gives a number another dtype."""

__all__ = ["BY_HAND", "CAST", "LOOPS", "has_gradient", "programs_in"]


def has_gradient(operation: Operation) -> bool:
    """Whether JAX has a derivative: it says itself where it has none."""
    return True
