"""The functions inside of JAX's own transformations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc
from keras_curvature.engines.jax import running

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (6, 3)).astype("float32")
EXACT = ("taylor", "nested")


def cubic(x):
    """`Σᵢ xᵢ³ + x₀ x₁ x₂`, whose Hessian is known."""
    return jnp.sum(x**3, axis=1, keepdims=True) + jnp.prod(x, axis=1, keepdims=True)


def hessian_of_cubic(x):
    found = np.zeros((len(x), 1, 3, 3))
    for i in range(3):
        found[:, 0, i, i] = 6 * x[:, i]
        for j in range(3):
            if i != j:
                found[:, 0, i, j] = x[:, 3 - i - j]
    return found


@pytest.fixture
def net():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(16, "tanh"), layers.Dense(16, "silu"), layers.Dense(2)]
    )


TRANSFORMED = {
    "jit": lambda f: jax.jit(f)(X),
    "vmap": lambda f: jax.vmap(lambda row: f(row[None])[0])(jnp.asarray(X)),
    "grad": lambda f: jax.jit(lambda x: f(x) + 0 * jax.grad(lambda x: f(x).sum())(x)[:, :1])(X),
}


@pytest.mark.parametrize("engine", EXACT)
@pytest.mark.parametrize("how", TRANSFORMED)
def test_inside_jax_s_own_transformations(how, engine, net):
    def laplacian(x):
        return kc.laplacian(net, x, engine=engine)

    np.testing.assert_allclose(TRANSFORMED[how](laplacian), laplacian(X), rtol=1e-4, atol=1e-6)


def test_the_gradient_of_a_laplacian_by_the_point():
    found = jax.grad(lambda x: kc.laplacian(cubic, x).sum())(jnp.asarray(X))
    np.testing.assert_allclose(found, np.full(X.shape, 6.0), rtol=1e-5)


def test_the_gradient_by_the_weights(net):
    """Against central differences of the loss, at the step that float64 leaves 8 digits at."""
    variables = net.trainable_variables

    def loss(values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return jnp.mean(kc.laplacian(net, X) ** 2)

    values = [variable.value for variable in variables]
    found = jax.jit(jax.grad(loss))(values)[0][0, 0]
    ahead, behind = (loss([values[0].at[0, 0].add(step), *values[1:]]) for step in (1e-2, -1e-2))
    assert found == pytest.approx(float(ahead - behind) / 2e-2, rel=1e-2)


def test_chunks_give_what_the_whole_gives(net):
    chunked = jax.jit(lambda x: kc.hessian(net, x, batch_size=4))(X)
    np.testing.assert_allclose(chunked, kc.hessian(net, X), rtol=1e-5, atol=1e-6)


def test_float64_stays_off(net):
    kc.laplacian(net, X, dtype="float64")
    assert not jax.config.jax_enable_x64
    assert jnp.ones(1).dtype == "float32"


@pytest.mark.parametrize("engine", EXACT)
def test_a_derivative_that_its_author_wrote_counts(engine):
    """The second derivative is that of what was written: `3 x²`, not `cos`."""

    @jax.custom_jvp
    def f(x):
        return jnp.sin(x)

    f.defjvp(lambda primals, tangents: (f(primals[0]), primals[0] ** 3 * tangents[0]))
    found = kc.hessian_diagonal(f, X, engine=engine)
    wanted = np.zeros((6, 3, 3))
    for i in range(3):
        wanted[:, i, i] = 3 * X[:, i] ** 2
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_what_is_not_of_jax_is_refused_in_words(net):
    with pytest.raises(ValueError, match=r"`probe` must hold numbers.*being traced"):
        jax.jit(kc.CurvatureMonitor)(X)
    for name in ("diagnose", "verify", "hidden_fraction"):
        with pytest.raises(ValueError, match=f"`{name}` must be called eagerly.*jax.jit"):
            jax.jit(lambda x, name=name: getattr(kc, name)(net, x))(X)


@pytest.mark.parametrize("place", [jnp.argmax, jnp.argmin])
def test_a_place_is_found_in_float64_inside_of_a_float32_jit(place):
    """The largest entry, or the smallest, to the third power: its Laplacian is six times it."""
    x = np.random.default_rng(0).normal(size=(5, 4))

    def cube(x):
        return jnp.take_along_axis(x, place(x, axis=1)[:, None], axis=1)[:, 0] ** 3

    found = jax.jit(lambda x: kc.laplacian(cube, x, dtype="float64"))(x)
    end = x.max(axis=1) if place is jnp.argmax else x.min(axis=1)
    np.testing.assert_allclose(found, 6 * end, rtol=1e-6)  # the points are float32 here


def test_in_parts_as_large_as_the_caches(monkeypatch):
    """Seven examples, two at a time: the last part is filled up."""
    sizes, in_graph = [], running.in_graph

    def noted(compute, tensors, size, *more):
        sizes.append(size)
        return in_graph(compute, tensors, size, *more)

    monkeypatch.setattr(running, "in_graph", noted)
    monkeypatch.setattr(running, "CACHES", 4)
    monkeypatch.setattr(running, "FEW", 2 * X.shape[1])
    x = np.concatenate([X, X[:1] / 2])
    expected = hessian_of_cubic(x)
    np.testing.assert_allclose(kc.hessian(cubic, x), expected, atol=1e-5)
    np.testing.assert_allclose(
        kc.laplacian(cubic, x)[:, 0], expected[:, 0].trace(0, 1, 2), atol=1e-5
    )
    assert sizes == [2, 2]


def _as_often_as_its_size(x):
    """`x²` where `|x| < 1`, elsewhere `x³`: a loop of one number, of several by `vmap`."""

    def of_one(x):
        def step(carry):
            return carry[0] * x, carry[1] - 1

        return jax.lax.while_loop(
            lambda carry: carry[1] > 0, step, (x, jnp.where(jnp.abs(x) < 1, 1, 2))
        )[0]

    return jax.vmap(jax.vmap(of_one))(x)


VMAPPED_LOOPS = {
    "by hand": (_as_often_as_its_size, lambda x: np.where(np.abs(x) < 1, 2, 6 * x)),
    "expi": (jax.scipy.special.expi, lambda x: np.exp(x) * (1 / x - 1 / x**2)),
}


@pytest.mark.parametrize("engine", [*EXACT, "finite_difference"])
@pytest.mark.parametrize("name", VMAPPED_LOOPS)
def test_loops_that_end_where_each_example_says(name, engine):
    function, second = VMAPPED_LOOPS[name]
    x = np.array([[0.5], [1.5], [3.0], [-2.0]])
    found = kc.hessian(function, x, engine=engine, dtype="float64")
    # The constants of `expi`'s polynomials are float32 where JAX's x64 is off; differences: 1e-7.
    np.testing.assert_allclose(np.reshape(found, x.shape), second(x), rtol=2e-6)
