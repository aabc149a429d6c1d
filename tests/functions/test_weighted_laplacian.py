"""`kc.laplacian(weights=...)` against closed forms: every engine, every way of calling."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_curvature as kc
import known_hessians as known
from keras_curvature.engines import chunking, weighted_laplacian
from known_hessians import KNOWN, MATRICES, V

ROOTS = np.sqrt([[2.0, 3, 5], [7, 11, 13]])

ENGINES = ["taylor", "nested", "finite_difference"]

# Rounding of the dtype times numbers up to 20; differences keep two thirds of float64's digits.
TOLERANCE = {"float32": 2e-5, "float64": 1e-8}


def eagerly(compute, *given):
    return compute(*given)


def in_function(compute, *given):
    return tf.function(compute)(*map(tf.constant, given))


def in_function_of_any_batch(compute, *given):
    signature = [tf.TensorSpec([None, *x.shape[1:]], x.dtype) for x in given]
    return tf.function(compute, input_signature=signature)(*map(tf.constant, given))


def under_xla(compute, *given):
    return tf.function(compute, jit_compile=True)(*map(tf.constant, given))


WAYS = [eagerly, in_function, in_function_of_any_batch, under_xla]


@pytest.mark.every(130)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("name", KNOWN)
def test_closed_forms(name, matrix, engine, dtype):
    form, weights = KNOWN[name], MATRICES[matrix]
    x = known.points(form, dtype)
    found = kc.laplacian(
        form.function, x, weights=weights, engine=engine, dtype=dtype, batch_size=2
    )
    truth = known.contracted(form, x, weights)
    assert found.dtype == dtype
    assert found.shape == truth.shape
    np.testing.assert_allclose(found, truth, atol=TOLERANCE[dtype])


@pytest.mark.every(51)
@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("matrix", ["of both signs", "one for each"])
def test_in_a_graph_with_numbers_and_without(matrix, engine, way, batch_size):
    form, weights = KNOWN["gaussian without an output axis"], MATRICES[matrix]
    x = known.points(form)
    options = {"engine": engine, "batch_size": batch_size}
    truth = known.contracted(form, x, weights)

    def of_numbers(x):
        return kc.laplacian(form.function, x, weights=weights, **options)

    np.testing.assert_allclose(way(of_numbers, x), truth, atol=1e-8)

    def of_tensors(x, given):
        given = given[0] if weights.ndim == 2 else given
        return kc.laplacian(form.function, x, weights=given, **options)

    given = weights if weights.ndim == 3 else np.tile(weights, (5, 1, 1))
    np.testing.assert_allclose(way(of_tensors, x, given), truth, atol=1e-8)


@pytest.mark.every(12)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_equation_of_black_and_scholes(engine, way):
    """`½ Σ Cov_ij S_i S_j V_ij` is what an exchange option, which carries no rate, loses."""
    s = known.prices()

    def compute(s):
        return kc.laplacian(known.exchange_option, s, weights=known.spread_of_prices, engine=engine)

    np.testing.assert_allclose(way(compute, s), known.decay(s), atol=1e-8)


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("weights", "rank"),
    [
        (V.T @ V, 2),
        ((ROOTS.T @ ROOTS).astype("float32"), 2),  # of whose rounding a third would come
        (known.A + known.A.T, 3),
        (np.stack([np.outer(V[0], V[0]), np.outer(V[1], V[1])]), 1),
        (np.diag([1.0, 0, -1]), 2),
        (np.zeros((3, 3)), 0),
    ],
    ids=["2", "2 of float32", "3", "1 of each", "both signs", "0"],
)
def test_as_many_directions_as_there_is_rank(weights, rank, monkeypatch):
    given, run_along = [], weighted_laplacian.run_along

    def counted(bound, engine, along, directions, *more):
        given.append(directions.shape[-2])
        return run_along(bound, engine, along, directions, *more)

    monkeypatch.setattr(weighted_laplacian, "run_along", counted)
    kc.laplacian(KNOWN["quadratic"].function, np.ones((2, 3)), weights=weights)
    assert sum(given) == rank


@pytest.mark.every(4)
@pytest.mark.parametrize("matrix", ["of both signs", "one for each"])
@pytest.mark.parametrize("way", [eagerly, in_function])
def test_few_directions_at_a_time_where_memory_is_short(matrix, way, monkeypatch):
    monkeypatch.setattr(chunking, "MEMORY_BUDGET", 1)
    form, weights = KNOWN["two outputs of a matrix"], MATRICES[matrix]
    x = known.points(form)
    found = way(lambda x: kc.laplacian(form.function, x, weights=weights), x)
    np.testing.assert_allclose(found, known.contracted(form, x, weights), atol=1e-12)


@pytest.mark.every(15)
@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize(
    "weights",
    [V.T @ V, lambda x: x[:, :, None] * x[:, None, :]],
    ids=["a matrix", "a function of x"],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_is_trained_through_it(engine, weights, run_eagerly):
    def operator(net, x):
        return kc.laplacian(net, x, weights=weights, engine=engine)

    found, moved = known.trained(operator, run_eagerly=run_eagerly)
    truth, _ = known.trained(known.by_hessian(weights), run_eagerly=run_eagerly)
    assert moved > 0.01
    for a, b in zip(found, truth, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)  # of float32, summed in another order


def test_no_gradient_goes_through_the_weights():
    x = tf.constant([[2.0]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = kc.laplacian(lambda x: x**4, x, weights=lambda x: x[:, :, None] ** 2)
    # 12 x² · x²; its derivative with the weights held is 24 x · x².
    np.testing.assert_allclose(tape.gradient(found, x), [[24 * 8.0]])

    @tf.function
    def in_graph(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = kc.laplacian(lambda x: x**4, x, weights=lambda x: x[:, :, None] ** 2)
        return tape.gradient(found, x)

    np.testing.assert_allclose(in_graph(x), [[24 * 8.0]])


def two_inputs():
    """`t² x₀ + x₀ x₁`, of which `x` comes second."""
    t, x = keras.Input((1,), name="t"), keras.Input((2,), name="x")
    y = layers.Lambda(lambda two: two[0] ** 2 * two[1][:, :1] + two[1][:, :1] * two[1][:, 1:])
    return keras.Model({"t": t, "x": x}, y([t, x]))


def test_several_inputs_lie_one_behind_the_other():
    given = {"x": np.array([[2.0, 3.0]]), "t": np.array([[5.0]])}
    weights = np.array([[1.0, 10, 100], [10, 1000, 1e4], [100, 1e4, 1e5]])
    # f_tt = 2 x₀, f_t0 = 2 t, f_01 = 1.
    found = kc.laplacian(two_inputs(), given, weights=weights)
    np.testing.assert_allclose(found, [[4 + 2 * 10 * 10 + 2 * 1e4]], rtol=1e-6)
    found = kc.laplacian(two_inputs(), given, weights=weights[:2, :2], wrt="x")
    np.testing.assert_allclose(found, [[20.0]], rtol=1e-6)


def test_columns_have_weights_of_their_own():
    form = KNOWN["quadratic"]
    found = kc.laplacian(
        form.function, np.ones((2, 3)), weights=[[1.0, 2], [2, -1]], columns=[2, 0]
    )
    hessian = known.A + known.A.T
    truth = hessian[2, 2] - hessian[0, 0] + 4 * hessian[0, 2]
    np.testing.assert_allclose(found, np.full((2, 1), truth))


def test_nested_lists_come_to_the_function_as_an_array():
    found = kc.laplacian(lambda x: x**4, [[2.0], [1.0]], weights=lambda x: x[:, :, None])
    np.testing.assert_allclose(found, [[96.0], [12.0]])


def test_an_output_is_chosen():
    form = KNOWN["two outputs of a matrix"]
    x, weights = known.points(form), MATRICES["rank 2"]
    found = kc.laplacian(form.function, x, weights=weights, output=1)
    np.testing.assert_allclose(found, known.contracted(form, x, weights)[:, 1:], atol=1e-12)


@pytest.mark.slow
def test_a_model_that_takes_so_many_examples_at_a_time():
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [keras.Input((3, 1), batch_size=2), layers.SimpleRNN(2, stateful=True, unroll=True)]
    )
    x = np.random.default_rng(0).normal(size=(4, 3, 1))
    hessian = ops.reshape(kc.hessian(net, x, dtype="float64"), (4, 2, 3, 3))
    for weights in (MATRICES["of both signs"], MATRICES["one for each"][:4]):
        found = kc.laplacian(net, x, weights=weights, dtype="float64")
        truth = np.sum(hessian * (weights if weights.ndim == 2 else weights[:, None]), (-2, -1))
        np.testing.assert_allclose(found, truth, atol=1e-12)


def ask(weights, **more):
    return kc.laplacian(KNOWN["quadratic"].function, np.ones((4, 3)), weights=weights, **more)


ERRORS = {
    "one for each input": (
        lambda: ask(np.ones(3)),
        ValueError,
        r"must have shape \(3, 3\), or \(4, 3, 3\).*Received: shape \(3,\).*write `np.diag",
    ),
    "another width": (lambda: ask(np.eye(2)), ValueError, r"Received: shape \(2, 2\)"),
    "another batch": (lambda: ask(np.ones((5, 3, 3))), ValueError, r"shape \(5, 3, 3\)"),
    "that of a function": (
        lambda: ask(lambda x: x),
        ValueError,
        r"must have shape.*Received: shape \(4, 3\)",
    ),
    "the order of several inputs": (
        lambda: kc.laplacian(
            two_inputs(), {"t": np.ones((1, 1)), "x": np.ones((1, 2))}, weights=np.eye(2)
        ),
        ValueError,
        r"3 numbers are differentiated by, in this order: 't' \(1\), 'x' \(2\)",
    ),
    "not symmetric": (
        lambda: ask(known.A),
        ValueError,
        r"must be symmetric.*differ.*by up to 3\. Give.*of which the sum is the same",
    ),
    "one of them not symmetric": (
        lambda: ask(np.stack([np.eye(3)] * 3 + [known.A])),
        ValueError,
        "must be symmetric",
    ),
    "not finite": (
        lambda: ask(np.diag([1.0, np.nan, np.inf])),
        ValueError,
        "must be finite. Received: 2 of 9 numbers that are not",
    ),
    "text": (lambda: ask("identity"), TypeError, "`weights` must hold numbers"),
    "random directions too": (
        lambda: ask(np.eye(3), directions=2),
        ValueError,
        "exclude each other.*directions=2. Leave one out",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_to_do(case):
    call, kind, message = ERRORS[case]
    with pytest.raises(kind, match=message):
        call()


def test_what_is_symmetric_but_for_rounding_is_taken():
    weights = (V.T @ V).astype("float32")
    weights[0, 1] *= 1 + 2**-22
    truth = known.contracted(KNOWN["quadratic"], np.ones((4, 3)), V.T @ V)
    np.testing.assert_allclose(ask(weights), truth, rtol=1e-6)
