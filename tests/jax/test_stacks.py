"""Sums and products of stacks, which are written so that XLA is fast backwards too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from keras_curvature.engines.jax import stacks

SHAPE = (3, 4)
COUNTS = [1, 2, stacks.ADDED_UP, stacks.ADDED_UP + 1]


def _drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _close(found, expected):
    # Sums of up to 17 numbers near 1 in float32.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", COUNTS)
def test_sums(count):
    stack, along, weight = (_drawn(i, count, *SHAPE) for i in range(3))
    weight = weight[:1]
    for function, value, slope in (
        (stacks.sum_over_directions, stack.sum(0), np.ones_like(stack)),
        (stacks.sum_of_squares_over_directions, (stack**2).sum(0), 2 * stack),
    ):
        found, tangent = jax.jvp(function, (stack,), (along,))
        _close(found[0], value)
        _close(tangent[0], (slope * along).sum(0))
        (back,) = jax.vjp(function, stack)[1](jnp.asarray(weight))
        _close(back, slope * weight)


@pytest.mark.parametrize("count", COUNTS)
def test_products_with_every_slice(count):
    stack, weight = _drawn(0, count, *SHAPE), _drawn(1, count, *SHAPE)
    factor, along = _drawn(2, *SHAPE), _drawn(3, *SHAPE)
    found, tangent = jax.jvp(lambda f: stacks.scaled(stack, f), (factor,), (along,))
    _close(found, stack * factor)
    _close(tangent, stack * along)
    pull = jax.vjp(stacks.scaled, jnp.asarray(stack), jnp.asarray(factor))[1]
    by_stack, by_factor = pull(jnp.asarray(weight))
    _close(by_stack, weight * factor)
    _close(by_factor, (weight * stack).sum(0))


def test_a_number_scales_a_stack():
    stack = _drawn(0, 2, *SHAPE)
    _close(stacks.scaled(stack, jnp.float32(3)), 3 * stack)


@pytest.mark.parametrize("count", COUNTS)
def test_no_slice_is_padded_to_a_stack_backwards(count):
    """What JAX makes of the gradient of a slice: as many stacks as there are slices."""

    def loss(stack, factor):
        return jnp.sum(stacks.sum_of_squares_over_directions(stacks.scaled(stack, factor)))

    drawn = _drawn(0, count, *SHAPE), _drawn(1, *SHAPE)
    program = str(jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(*drawn))
    assert " pad[" not in program
