"""Partial derivatives by name: closed forms, on whatever backend the tests run."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_curvature as kc
from keras_curvature.engines.arrays import xp

ops = keras.ops

X = np.random.default_rng(3).uniform(-1, 1, (12, 3))


def wave(x):
    """`sin(2 x + 3 y) exp(-z)`: derivatives bring factors 2, 3, -1, by x and y a shift."""
    return ops.sin(2 * x[:, :1] + 3 * x[:, 1:2]) * ops.exp(-x[:, 2:])


def of_wave(by, x=X):
    """The truth of it."""
    turns = sum(index < 2 for index in by)
    factor = np.prod([(2, 3, -1)[index] for index in by])
    return factor * np.sin(2 * x[:, 0] + 3 * x[:, 1] + turns * np.pi / 2) * np.exp(-x[:, 2])


TERMS = {
    "u": "value",
    "u_z": (2,),
    "u_x": (0,),
    "u_xx": (0, 0),
    "u_xy": (1, 0),
    "u_xxx": (0, 0, 0),
    "u_xyz": (2, 1, 0),
    "u_xxz": (0, 2, 0),
    "u_yyyy": (1, 1, 1, 1),
    "u_xxyy": (0, 1, 0, 1),
    "u_xyzz": (2, 0, 2, 1),
    "lap": "laplacian",
    "bi": "biharmonic",
}

TOLERANCE = {"taylor": 1e-13, "nested": 1e-13, "finite_difference": 2e-5, "auto": 1e-13}
"""Relative. Differences of differences have half their digits left at order 4."""


@pytest.mark.every(2)
@pytest.mark.parametrize("engine", list(TOLERANCE))
def test_all_terms_of_an_equation_at_once(engine):
    terms = TERMS if engine != "nested" else {name: TERMS[name] for name in ("u", "u_xxz", "u_x")}
    found = kc.derivatives(wave, X, terms, engine=engine, dtype="float64")
    assert list(found) == list(terms)
    for name, by in terms.items():
        truth = {
            "value": of_wave(()),
            "laplacian": -12 * of_wave(()),
            "biharmonic": 144 * of_wave(()),
        }
        expected = truth[by] if isinstance(by, str) else of_wave(by)
        got = xp.to_numpy(found[name])
        assert got.shape == (12, 1)
        assert np.abs(got[:, 0] - expected).max() <= TOLERANCE[engine] * np.abs(expected).max(), (
            name
        )


@pytest.mark.parametrize("by", [(0,), (1, 0), (0, 0, 1), (1, 1, 0, 0), (2, 1, 0, 1)])
def test_one_of_them(by):
    found = xp.to_numpy(kc.partial_derivative(wave, X.astype("float32"), by))
    assert found.dtype == np.float32
    truth = of_wave(by, X.astype("float32").astype("float64"))
    # Mixed ones are differences of derivatives along few directions, which cost two digits.
    np.testing.assert_allclose(found[:, 0], truth, rtol=0, atol=1e-5 * np.abs(truth).max())


def test_inputs_by_name():
    spot, rest = keras.Input((1,), name="spot"), keras.Input((2,), name="rest")
    out = keras.layers.Lambda(lambda x: wave(ops.concatenate(x, axis=1)), output_shape=(1,))
    model = keras.Model({"spot": spot, "rest": rest}, out([spot, rest]))
    x = {"rest": X[:, 1:], "spot": X[:, :1]}
    terms = {
        "theta": (("rest", 1),),
        "gamma": ("spot", "spot"),
        "speed": ("spot", "spot", "spot"),
        "mixed": (("rest", 0), "spot", ("rest", -1)),
    }
    found = kc.derivatives(model, x, terms, dtype="float64")
    wanted = {"theta": (2,), "gamma": (0, 0), "speed": (0, 0, 0), "mixed": (1, 0, 2)}
    for name, by in wanted.items():
        np.testing.assert_allclose(
            xp.to_numpy(found[name])[:, 0], of_wave(by), rtol=1e-6, atol=1e-6
        )


def test_columns_count_as_if_there_were_no_others():
    found = kc.derivatives(wave, X, {"u": (0, 1)}, columns=[1, 2], dtype="float64")
    np.testing.assert_allclose(xp.to_numpy(found["u"])[:, 0], of_wave((1, 2)), rtol=1e-12)


def test_columns_of_a_data_frame_by_name():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["x", "y", "z"])
    found = kc.derivatives(wave, frame, {"u": ("z", "x", "x")}, dtype="float64")
    np.testing.assert_allclose(xp.to_numpy(found["u"])[:, 0], of_wave((0, 0, 2)), rtol=1e-12)


def field(x):
    """A flow in the plane whose divergence is `2 x - sin(y)`."""
    return ops.stack([x[:, 0] ** 2, ops.cos(x[:, 1])], axis=1)


@pytest.mark.parametrize("engine", ["taylor", "nested"])
def test_the_divergence_is_one_number_for_each_example(engine):
    x = X[:, :2]
    found = xp.to_numpy(kc.derivatives(field, x, ["divergence"], engine=engine)["divergence"])
    assert found.shape == (12,)
    np.testing.assert_allclose(found, 2 * x[:, 0] - np.sin(x[:, 1]), atol=1e-6)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6])
def test_the_biharmonic_of_any_number_of_inputs(width):
    """`|x|⁴` has `8 d (d + 2)`, and `exp(a·x)` has `|a|⁴` times itself."""
    x = np.random.default_rng(width).uniform(-1, 1, (5, width))
    a = 0.5 + np.arange(width) / 4  # numbers that float32 has: Keras makes it that on JAX

    def f(x):
        return ops.stack(
            [ops.sum(x * x, axis=1) ** 2, ops.exp(ops.sum(x * ops.cast(a, x.dtype), axis=1))],
            axis=1,
        )

    found = xp.to_numpy(kc.derivatives(f, x, ["biharmonic"], dtype="float64")["biharmonic"])
    np.testing.assert_allclose(found[:, 0], 8 * width * (width + 2), rtol=1e-12)
    np.testing.assert_allclose(found[:, 1], np.sum(a**2) ** 2 * np.exp(x @ a), rtol=1e-12)


def test_the_biharmonic_behind_a_narrow_beginning():
    """Of a plane in space it is that of two inputs, turned."""
    a = np.random.default_rng(0).integers(-8, 8, (9, 2)) / 8
    x = np.random.default_rng(1).normal(size=(4, 9)) / 5
    hidden = keras.layers.Dense(2, use_bias=False, dtype="float64")
    model = keras.Sequential(
        [
            keras.Input((9,), dtype="float64"),
            hidden,
            keras.layers.Lambda(
                lambda h: ops.sin(h[:, :1]) * ops.exp(h[:, 1:]), dtype="float64", output_shape=(1,)
            ),
        ]
    )
    hidden.set_weights([a])
    found = xp.to_numpy(kc.derivatives(model, x, ["biharmonic"], dtype="float64")["biharmonic"])
    (p, q), h = a.T, x @ a
    # Of sin(h0) exp(h1) with d = p d/dh0 + q d/dh1, as a complex exponential.
    power = (1j * p + q) @ (1j * p + q)
    truth = np.imag(power**2 * np.exp(1j * h[:, 0] + h[:, 1]))
    np.testing.assert_allclose(found[:, 0], truth, rtol=0, atol=1e-9 * np.abs(truth).max())


def test_kinked_networks_have_none_above_the_first():
    net = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    )
    found = kc.derivatives(net, X, {"x": (0,), "xx": (0, 0), "xxxx": (0,) * 4, "xyz": (0, 1, 2)})
    assert np.abs(xp.to_numpy(found["x"])).max() > 0
    for name in ("xx", "xxxx", "xyz"):
        assert not xp.to_numpy(found[name]).any()


POINT = np.array([[-1.0], [0.0], [0.5]])

AT_SPECIAL_POINTS = {
    "a power behind relu": (lambda x: ops.relu(x) ** 4.5, (0,) * 4, [0, 0, 59.0625 * 0.5**0.5]),
    "one that bends without bound": (
        lambda x: ops.relu(x) ** 1.5,
        (0, 0),
        [0, None, 0.75 * 2**0.5],
    ),
    "sinc": (ops.sinc, (0,) * 4, [None, np.pi**4 / 5, None]),
    "a power of whole numbers": (lambda x: x**3, (0,) * 3, [6, 6, 6]),
    "beyond the degree": (lambda x: x**3, (0,) * 4, [0, 0, 0]),
    "tanh": (ops.tanh, (0,) * 3, [None, -2, None]),
    "the determinant of a singular matrix": (
        lambda x: ops.linalg.det(
            ops.stack([ops.stack([x, x**2], 1), ops.stack([x, x], 1)], 1)[..., 0]
        )[:, None],
        (0,) * 3,
        [-6, -6, -6],
    ),
}
"""Functions, partial derivatives, and these at -1, 0 and 0.5; `None` where nothing is said."""


@pytest.mark.parametrize("name", AT_SPECIAL_POINTS)
def test_special_points(name):
    function, by, truth = AT_SPECIAL_POINTS[name]
    # JAX has some constants in float32 where it traces without float64: pi in sinc.
    close = 1e-6 if name == "sinc" else 1e-12
    found = xp.to_numpy(kc.partial_derivative(function, POINT, by, dtype="float64"))[:, 0]
    for got, wanted in zip(found, truth, strict=True):
        assert wanted is None or abs(got - wanted) <= close * max(1, abs(wanted)), found


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, 5, 9])
def test_determinants(size):
    """Along a line the determinant is a polynomial, whose derivatives differences have exactly."""
    rng = np.random.default_rng(size)
    a, b = rng.integers(-3, 4, (2, size, size)).astype("float64")

    def f(x):
        return ops.linalg.det(ops.cast(a, x.dtype) + x[:, :, None] * ops.cast(b, x.dtype))[:, None]

    nodes = np.cos(np.pi * (np.arange(size + 1) + 0.5) / (size + 1))
    values = [np.linalg.det(a + t * b) for t in nodes]
    polynomial = np.polynomial.Polynomial.fit(nodes, values, size)
    for order in (1, 2, 3, 4):
        found = xp.to_numpy(kc.partial_derivative(f, [[0.3]], (0,) * order, dtype="float64"))[0, 0]
        largest = np.abs(polynomial.deriv(order)(nodes)).max() if order <= size else 1
        assert abs(found - polynomial.deriv(order)(0.3)) <= 1e-8 * max(1, largest)


def test_indexes_of_numpy():
    found = kc.partial_derivative(lambda x: x**3, [[1.0]], (np.int64(0),) * 3)
    assert float(xp.to_numpy(found)[0, 0]) == 6


ERRORS = {
    "an order above 4": ({"u": (0,) * 5}, ValueError, "order 1 to 4, by as many inputs.*by 5"),
    "no order": ({"u": ()}, ValueError, "The function itself is 'value'"),
    "no input": ({"u": (3,)}, ValueError, "has 3 columns, of 0 to 2. Received: index 3"),
    "below": ({"u": (-4,)}, ValueError, "Received: index -4"),
    "a number": ({"u": 0}, TypeError, r"Write `\(0,\)`"),
    "a fraction": ({"u": (0.5,)}, TypeError, "Received: 0.5"),
    "a truth value": ({"u": (True,)}, TypeError, "Received: True"),
    "another input": (
        {"u": ("t",)},
        ValueError,
        r"one input, of shape \(batch, 3\), and its columns.*Received: 't'. Use an index.*`\(0,\)`",
    ),
    "another word": ({"u": "curl"}, ValueError, "must be one of .*or a tuple of inputs.*'curl'"),
    "a name that is none": ({0: (0,)}, TypeError, "keys of `names` must be strings"),
    "nothing": ({}, ValueError, "must be one or some of"),
    "a divergence": (
        ["divergence"],
        ValueError,
        "as many outputs as inputs. Received: 1 outputs of 3",
    ),
}


@pytest.mark.parametrize(("names", "error", "said"), ERRORS.values(), ids=list(ERRORS))
def test_errors_say_what_may_be_asked(names, error, said):
    with pytest.raises(error, match=said):
        kc.derivatives(wave, X, names)


@pytest.mark.parametrize(
    ("names", "error", "said"),
    ERRORS.values(),
    ids=list(ERRORS),
)
def test_a_layer_raises_them_when_it_is_made(names, error, said):
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(error, match=said):
        kc.DerivativeOutput(net, names)


def test_an_input_that_there_is_not_is_told_from_those_that_there_are():
    t, x = keras.Input((1,), name="t"), keras.Input((1,), name="x")
    model = keras.Model({"t": t, "x": x}, t * x)
    with pytest.raises(ValueError, match=r"inputs must be of \['t', 'x'\]. Received: 'y'"):
        kc.DerivativeOutput(model, {"u": ("y",)})


KDV = {"u": "value", "u_t": (0,), "u_x": (1,), "u_xxx": (1, 1, 1)}


def kdv(names=KDV, **kwargs):
    """The residual of the Korteweg-de Vries equation of a network."""
    net = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(8, "tanh"),
            keras.layers.Dense(8, "tanh"),
            keras.layers.Dense(1),
        ]
    )
    points = keras.Input((2,))
    o = kc.DerivativeOutput(net, names, **kwargs)(points)
    return keras.Model(points, o["u_t"] + 6 * o["u"] * o["u_x"] + o["u_xxx"])


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"jit_compile": True}, {"run_eagerly": True}], ids=str)
def test_a_layer_trains_through_its_terms(how):
    if how.get("run_eagerly") and keras.config.backend() == "jax":
        pytest.skip("the same as the others, slower")
    keras.utils.set_random_seed(0)
    model = kdv()
    model.compile(keras.optimizers.Adam(1e-2), "mse", **how)
    x = X[:, :2].astype("float32")
    losses = model.fit(x, np.zeros((12, 1)), epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2


def test_a_layer_s_gradient_is_that_of_differences():
    """Through the third derivative, by a weight of the first layer."""
    keras.utils.set_random_seed(1)
    model = kdv(dtype="float64")
    x = X[:, :2]
    kernel = model.layers[1].layer.layers[0].kernel

    def loss():
        return float(np.mean(ops.convert_to_numpy(model(x)) ** 2))

    start = ops.convert_to_numpy(kernel)
    step = 1e-3 * np.sign(np.arange(16).reshape(2, 8) % 3 - 1)

    def moved(by):
        kernel.assign(start + by * step)
        found = loss()
        kernel.assign(start)
        return found

    slope = (moved(1) - moved(-1)) / 2
    # One step of plain descent goes down by the rate times the square of the whole gradient, along
    # the kernel by that of its own part: compared with the update that a step makes.
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    model.fit(x, np.zeros((12, 1)), batch_size=12, epochs=1, verbose=0)
    update = start - ops.convert_to_numpy(kernel)
    np.testing.assert_allclose(np.sum(update / 1e-3 * step), slope, rtol=2e-3)


@pytest.mark.every(4)
@pytest.mark.parametrize(
    "activation", ["softplus", "sigmoid", "tanh", "silu", "gelu", "elu", "selu", "softsign"]
)
def test_saturated_units_leave_training_alone(activation):
    """Where they are flat to the last digit, and exponentials overflow, gradients are numbers."""
    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(4, activation)])
    net.set_weights([np.array([[-300.0, -40.0, 40.0, 300.0]]), np.zeros(4)])
    points = keras.Input((1,))
    o = kc.DerivativeOutput(net, {"xxx": (0, 0, 0), "xxxx": (0,) * 4})(points)
    model = keras.Model(points, o["xxx"] + o["xxxx"])
    model.compile(keras.optimizers.SGD(1e-30), "mse")
    model.fit(np.ones((2, 1), "float32"), np.zeros((2, 4)), verbose=0)
    assert all(np.isfinite(weight).all() for weight in net.get_weights())


def test_a_layer_is_saved_and_loaded(tmp_path):
    model = kdv()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert dict(again.layers[1].names) == KDV
    x = X[:, :2].astype("float32")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
