"""The functions: right, in the dtype asked for, of today's weights."""

from __future__ import annotations

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc

to_numpy = ops.convert_to_numpy

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (6, 3)).astype("float32")
EXACT = ("taylor", "nested")


def cubic(x):
    """`Σᵢ xᵢ³ + x₀ x₁ x₂`, whose Hessian is known."""
    return ops.sum(x**3, axis=1, keepdims=True) + ops.prod(x, axis=1, keepdims=True)


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


@pytest.mark.parametrize("engine", [*EXACT, "finite_difference"])
def test_named_derivatives_of_a_plain_function(engine):
    v = np.array([1.0, -2.0, 0.5])
    names = ["hessian", "hessian_diagonal", "laplacian", "directional_curvature"]
    names.append("hessian_vector_product")
    found = kc.derivatives(cubic, X, names, v=v, engine=engine, dtype="float64")
    hessian = hessian_of_cubic(X.astype("float64"))
    wanted = {
        "hessian": hessian,
        "hessian_diagonal": np.einsum("nmii->nmi", hessian),
        "laplacian": np.einsum("nmii->nm", hessian),
        "directional_curvature": np.einsum("nmij,i,j->nm", hessian, v, v),
        "hessian_vector_product": hessian @ v,
    }
    for name, exact in wanted.items():
        array = to_numpy(found[name])
        assert array.dtype == "float64"
        # Differences of gradients at the best step of float64 are right to 1e-9.
        np.testing.assert_allclose(array, exact, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("engine", EXACT)
def test_float64_is_float64_behind_layers_that_keras_computes_in_float32(engine):
    """tanh(40 x): in float32 the curvature of a saturated unit would have no digits left."""
    net = keras.Sequential([keras.Input((1,)), layers.Dense(1, "tanh", use_bias=False)])
    net.layers[0].kernel.assign([[8.0]])
    x = np.array([[2.0], [0.1]])
    t = np.tanh(8 * x)
    truth = -128 * t / np.cosh(8 * x) ** 2
    found = to_numpy(kc.laplacian(net, x, engine=engine, dtype="float64"))
    np.testing.assert_allclose(found, truth, rtol=1e-9 if engine == "taylor" else 1e-2)
    assert keras.backend.standardize_dtype(ops.ones(1).dtype) == "float32"


def test_weights_are_those_of_now(net):
    before = to_numpy(kc.laplacian(net, X))
    net.layers[-1].kernel.assign(2 * net.layers[-1].kernel)
    np.testing.assert_allclose(to_numpy(kc.laplacian(net, X)), 2 * before, rtol=1e-5)


@pytest.mark.parametrize("engine", EXACT)
@pytest.mark.parametrize("how", ["a Lambda", "a function"])
def test_so_are_those_of_a_model_that_is_called_inside(how, engine, net):
    """Keras does not count them among the variables of the model around."""
    inputs = keras.Input((3,))
    around = keras.Model(inputs, layers.Lambda(lambda x: net(x), output_shape=(2,))(inputs))
    model = around if how == "a Lambda" else lambda x: net(x)
    before = to_numpy(kc.laplacian(model, X, engine=engine))
    net.layers[-1].kernel.assign(3 * net.layers[-1].kernel)
    found = to_numpy(kc.laplacian(model, X, engine=engine))
    np.testing.assert_allclose(found, 3 * before, rtol=1e-4, atol=1e-6)


def root_before_its_condition(x):
    y = ops.sqrt(x)
    return ops.where(x > 0, y, 0.0)


LEFT_OUT = {
    "root": (lambda x: ops.where(x > 0, ops.sqrt(x), 0.0), [0, 0], [0.25, -1 / 32]),
    "root before its condition": (root_before_its_condition, [0, 0], [0.25, -1 / 32]),
    "quotient": (lambda x: ops.where(x == 0, 1.0, 2 / x), [0, 0], [-1 / 8, 1 / 16]),
    "logarithm of a sum": (
        lambda x: ops.where(x > 0, ops.log(3 * x + x * x), x), [1, 0], [11 / 28, -65 / 784],
    ),
}  # fmt: skip
"""A `where`, and its first and second derivative at 0, where it takes the other side, and at 4."""


@pytest.mark.parametrize("engine", EXACT)
@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_a_where_leaves_out_reaches_no_derivative(case, engine):
    function, at_0, at_4 = LEFT_OUT[case]
    names = ["jacobian", "hessian"]
    found = kc.derivatives(function, [[0.0], [4.0]], names, engine=engine, dtype="float64")
    both = np.stack([np.ravel(to_numpy(found[name])) for name in names], axis=1)
    np.testing.assert_allclose(both, [at_0, at_4], atol=1e-12)


def test_chunks_give_what_the_whole_gives(net):
    whole, chunked = (to_numpy(kc.hessian(net, X, batch_size=size)) for size in (None, 4))
    np.testing.assert_allclose(chunked, whole, rtol=1e-5, atol=1e-6)


def test_what_is_differentiated_by_can_be_chosen(net):
    hessian = to_numpy(kc.hessian(net, X))
    some = to_numpy(kc.hessian(net, X, columns=[2, 0]))
    np.testing.assert_allclose(some, hessian[:, :, [2, 0]][..., [2, 0]], rtol=1e-4, atol=1e-5)
    inner = keras.Sequential([keras.Input((16,)), *net.layers[1:]])
    behind = to_numpy(kc.hessian(net, X, wrt=net.layers[0].name))
    alone = to_numpy(kc.hessian(inner, net.layers[0](X)))
    np.testing.assert_allclose(behind, alone, rtol=1e-4, atol=1e-5)
    one = to_numpy(kc.hessian(net, X, output=1))
    np.testing.assert_allclose(one, hessian[:, 1:], rtol=1e-4, atol=1e-5)


def test_dicts_of_inputs_come_back_as_dicts():
    inputs = {name: keras.Input((1,), name=name) for name in ("spot", "vol")}
    product = keras.ops.square(inputs["spot"]) * inputs["vol"]
    model = keras.Model(inputs, product)
    x = {"spot": X[:, :1], "vol": X[:, 1:2]}
    found = keras.tree.map_structure(to_numpy, kc.hessian(model, x))
    np.testing.assert_allclose(found["spot"]["spot"].ravel(), 2 * X[:, 1], rtol=1e-6)
    np.testing.assert_allclose(found["spot"]["vol"].ravel(), 2 * X[:, 0], rtol=1e-6)
    assert not np.any(found["vol"]["vol"])


def test_the_model_s_state_is_as_it_was():
    keras.utils.set_random_seed(1)
    net = keras.Sequential(
        [keras.Input((3,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(1)]
    )
    before = [to_numpy(v) for v in net.variables]
    kc.hessian(net, X)
    for variable, value in zip(net.variables, before, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), value)


def test_coupled_examples_are_told():
    with pytest.warns(UserWarning, match="its examples influence each other"):
        kc.laplacian(lambda x: x - ops.mean(x, axis=0), X)


def test_a_derivative_that_ends_is_an_error():
    with pytest.raises(ValueError, match=r"only through ops without a derivative: round"):
        kc.laplacian(ops.round, X)


@pytest.mark.parametrize("kernel", ["triangle", "box"])
def test_the_curvature_over_a_distance_sees_kinks(kernel):
    """`|x|` bends by 2 at its kink: the mean over ±h is 2 / h by triangle, 1 / h by box."""
    found = kc.scale_curvature(ops.abs, [[0.0], [1.0]], [0.5, 0.25], kernel=kernel)
    height = 2 if kernel == "triangle" else 1
    wanted = [[[2.0 * height], [0.0]], [[4.0 * height], [0.0]]]
    np.testing.assert_allclose(np.reshape(to_numpy(found), (2, 2, 1)), wanted, atol=1e-6)


def test_a_function_of_numpy_is_refused_in_words():
    with pytest.raises((TypeError, RuntimeError), match=r"NumPy.*`keras.ops`"):
        kc.laplacian(lambda x: np.sin(x), X)


@pytest.mark.parametrize("way", ["called", "an output", "watched"])
def test_a_model_is_not_kept_alive(way):
    """Nor what is compiled for it: hundreds of trials in one process would run out of memory."""
    net = keras.Sequential([keras.Input((3,)), layers.Dense(2, "tanh"), layers.Dense(1)])
    if way == "watched":
        net.compile("sgd", "mse")
        net.fit(X, X[:, :1], verbose=0, callbacks=[kc.CurvatureMonitor(X)])
    else:
        kc.laplacian(net, X, output=None if way == "called" else 0)
    alive = weakref.ref(net)
    del net
    gc.collect()
    assert alive() is None
