"""Curvatures and products along several directions at once, against closed forms."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc
import known_hessians as known
from keras_curvature.engines import chunking, evaluation
from known_hessians import KNOWN

ENGINES = ["taylor", "nested", "finite_difference"]
NAMES = ["directional_curvature", "hessian_vector_product"]

# Rounding of the dtype times numbers up to 20; differences keep two thirds of float64's digits.
TOLERANCE = {"float32": 2e-5, "float64": 1e-8}


def several(form, kind):
    """Four directions for all examples, or four for each of five."""
    shape = (4, *form.input_shape) if kind == "for all" else (5, 4, *form.input_shape)
    return np.random.default_rng(1).normal(size=shape)


@pytest.mark.every(21)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["for all", "for each"])
@pytest.mark.parametrize("name", KNOWN)
def test_closed_forms(name, kind, engine, dtype):
    form = KNOWN[name]
    x, v = known.points(form, dtype), several(form, kind)
    options = {"engine": engine, "dtype": dtype, "batch_size": 2, "directions": kind == "for all"}
    curvatures, products = known.along(form, x, v)
    found = kc.directional_curvature(form.function, x, v, **options)
    assert found.shape == curvatures.shape
    assert found.dtype == dtype
    np.testing.assert_allclose(found, curvatures, atol=TOLERANCE[dtype])
    found = kc.hessian_vector_product(form.function, x, v, **options)
    assert found.shape == products.shape
    np.testing.assert_allclose(found, products, atol=TOLERANCE[dtype])


def in_function(compute, x):
    return tf.function(compute)(tf.constant(x))


def in_function_of_any_batch(compute, x):
    signature = [tf.TensorSpec([None, *x.shape[1:]], x.dtype)]
    return tf.function(compute, input_signature=signature)(tf.constant(x))


def under_xla(compute, x):
    return tf.function(compute, jit_compile=True)(tf.constant(x))


@pytest.mark.every(21)
@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("way", [in_function, in_function_of_any_batch, under_xla])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["for all", "for each"])
def test_beside_other_derivatives_in_a_graph(kind, engine, way, batch_size):
    form = KNOWN["two outputs of a matrix"]
    x, v = known.points(form), several(form, kind)
    names = {"along": NAMES[0], "product": NAMES[1], "value": "value"}

    def compute(x):
        return kc.derivatives(
            form.function, x, names, v=v, directions=True, engine=engine, batch_size=batch_size
        )

    found = way(compute, x)
    curvatures, products = known.along(form, x, v)
    np.testing.assert_allclose(found["along"], curvatures, atol=1e-8)
    np.testing.assert_allclose(found["product"], products, atol=1e-8)
    np.testing.assert_allclose(found["value"], form.function(x))


def test_an_array_in_the_shape_of_x_is_one_direction_for_each_unless_asked_otherwise():
    form = KNOWN["quadratic"]
    x = known.points(form)
    each = kc.directional_curvature(form.function, x, x)
    of_all = kc.directional_curvature(form.function, x, x, directions=True)
    assert each.shape == (5, 1)
    assert of_all.shape == (5, 5, 1)
    np.testing.assert_allclose(each, np.einsum("nni->ni", of_all))


@pytest.mark.every(9)
@pytest.mark.parametrize("kind", ["for all", "for each"])
@pytest.mark.parametrize("engine", ENGINES)
def test_few_at_a_time_where_memory_is_short(engine, kind, monkeypatch):
    monkeypatch.setattr(chunking, "MEMORY_BUDGET", 1)
    form = KNOWN["two outputs of a matrix"]
    x, v = known.points(form), several(form, kind)
    options = {"engine": engine, "directions": True}
    curvatures, products = known.along(form, x, v)
    found = kc.directional_curvature(form.function, x, v, **options)
    np.testing.assert_allclose(found, curvatures, atol=1e-8)
    found = kc.hessian_vector_product(form.function, x, v, **options)
    np.testing.assert_allclose(found, products, atol=1e-8)


def test_all_go_through_together(monkeypatch):
    runs, run_chunked = [], evaluation.run_chunked

    def counted(*given, **more):
        runs.append(given)
        return run_chunked(*given, **more)

    monkeypatch.setattr(evaluation, "run_chunked", counted)
    form = KNOWN["quadratic"]
    found = kc.directional_curvature(
        form.function, known.points(form), np.ones((50, 3)), directions=True
    )
    assert found.shape == (5, 50, 1)
    assert len(runs) == 1


def two_inputs():
    """`t² x₀ + x₀ x₁`."""
    t, x = keras.Input((1,), name="t"), keras.Input((2,), name="x")
    y = layers.Lambda(lambda two: two[0] ** 2 * two[1][:, :1] + two[1][:, :1] * two[1][:, 1:])
    return keras.Model({"t": t, "x": x}, y([t, x]))


def test_several_inputs_have_directions_in_their_structure():
    given = {"t": np.array([[5.0]]), "x": np.array([[2.0, 3.0]])}
    v = {"t": np.array([[1.0], [0.0], [1.0]]), "x": np.array([[0.0, 0], [1, 1], [1, 0]])}
    # f_tt = 2 x₀ = 4, f_t0 = 2 t = 10, f_01 = 1.
    found = kc.directional_curvature(two_inputs(), given, v, directions=True)
    np.testing.assert_allclose(found, [[[4.0], [2.0], [24.0]]])
    found = kc.hessian_vector_product(two_inputs(), given, v, directions=True)
    np.testing.assert_allclose(found["t"], [[[[4.0]], [[10.0]], [[14.0]]]])
    np.testing.assert_allclose(found["x"], [[[[10.0, 0]], [[1, 1]], [[10, 1]]]])
    each = {name: np.stack([part]) for name, part in v.items()}
    found = kc.directional_curvature(two_inputs(), given, each)
    np.testing.assert_allclose(found, [[[4.0], [2.0], [24.0]]])


def test_columns_have_directions_of_their_own():
    form = KNOWN["quadratic"]
    found = kc.hessian_vector_product(
        form.function, np.ones((2, 3)), np.eye(2), directions=True, columns=[2, 0]
    )
    hessian = (known.A + known.A.T)[np.ix_([2, 0], [2, 0])]
    np.testing.assert_allclose(found, np.tile(hessian[None, :, None], (2, 1, 1, 1)))


def ask(v, directions):
    return kc.directional_curvature(
        KNOWN["quadratic"].function, np.ones((4, 3)), v, directions=directions
    )


ERRORS = {
    "one alone": (
        lambda: ask(np.ones(3), True),
        r"must hold k directions.*\[\('k', 3\)\].*\[\(4, 'k', 3\)\].*\[\(3,\)\]. One direction "
        "alone goes without",
    ),
    "another width": (lambda: ask(np.ones((2, 2)), True), r"Received: \[\(2, 2\)\]"),
    "another batch": (lambda: ask(np.ones((5, 2, 3)), False), r"Received: \[\(5, 2, 3\)\]"),
    "too many axes": (lambda: ask(np.ones((1, 4, 2, 3)), True), r"Received: \[\(1, 4, 2, 3\)\]"),
    "none": (lambda: ask(np.ones((0, 3)), True), r"Received: \[\(0, 3\)\]"),
    "several that are not said to be": (
        lambda: ask(np.ones((2, 3)), False),
        r"\(k, \.\.\.\) with `directions=True`, or \(batch, k, \.\.\.\)",
    ),
    "for some inputs only": (
        lambda: kc.directional_curvature(
            two_inputs(),
            {"t": np.ones((1, 1)), "x": np.ones((1, 2))},
            {"t": np.ones((2, 1)), "x": np.ones(2)},
            directions=True,
        ),
        r"must hold k directions.*Received: \[\(2, 1\), \(2,\)\]",
    ),
    "of different numbers": (
        lambda: kc.directional_curvature(
            two_inputs(),
            {"t": np.ones((1, 1)), "x": np.ones((1, 2))},
            {"t": np.ones((2, 1)), "x": np.ones((3, 2))},
            directions=True,
        ),
        r"must hold k directions.*Received: \[\(2, 1\), \(3, 2\)\]",
    ),
    "no direction": (lambda: ask(None, True), "A direction `v` is needed"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_to_do(case):
    call, message = ERRORS[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_how_many_there_are_has_to_be_known():
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float64)])
    def compute(v):
        return ask(v, True)

    with pytest.raises(ValueError, match=r"number of directions that is known.*ensure_shape"):
        compute(np.ones((2, 3)))
