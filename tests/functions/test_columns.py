"""Derivatives by some columns of an input, against the same entries of a closed form."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
from keras_curvature.engines.api import ENGINES, Options, bind
from keras_curvature.engines.tensorflow import fixed_columns
from keras_curvature.engines.tensorflow.graph_ops import needed

NAMES = (
    "value", "jacobian", "hessian", "hessian_diagonal", "laplacian", "directional_curvature",
    "hessian_vector_product",
)  # fmt: skip
ATOL = {"taylor": 1e-12, "nested": 1e-12, "finite_difference": 1e-7}
"""Float64; differences of gradients at the step eps^(1/3) are off by about its square."""

X = np.random.default_rng(0).uniform(0.5, 1.5, size=(5, 4))
MARKET = ("spot", "strike", "vol", "maturity")


def curved(x):
    """Two outputs that mix all four columns."""
    a, b, c, d = tf.unstack(x, axis=1)
    return tf.stack([tf.exp(a) * tf.sin(b * c) + a * d**3, a * b * c * d], axis=1)


def closed_form(x):
    """Value, gradient and Hessian of `curved`, `(n, 2, ...)`."""
    n = len(x)
    a, b, c, d = x.T
    e, s, k = np.exp(a), np.sin(b * c), np.cos(b * c)
    value = np.stack([e * s + a * d**3, a * b * c * d], 1)
    gradient, hessian = np.zeros((n, 2, 4)), np.zeros((n, 2, 4, 4))
    gradient[:, 0] = np.stack([e * s + d**3, e * k * c, e * k * b, 3 * a * d**2], 1)
    gradient[:, 1] = np.stack([b * c * d, a * c * d, a * b * d, a * b * c], 1)
    upper = {
        (0, 0): (e * s, 0 * a), (0, 1): (e * k * c, c * d), (0, 2): (e * k * b, b * d),
        (0, 3): (3 * d**2, b * c), (1, 1): (-e * s * c**2, 0 * a),
        (1, 2): (e * (k - b * c * s), a * d), (1, 3): (0 * a, a * c),
        (2, 2): (-e * s * b**2, 0 * a), (2, 3): (0 * a, a * b), (3, 3): (6 * a * d, 0 * a),
    }  # fmt: skip
    for (i, j), entries in upper.items():
        hessian[:, :, i, j] = hessian[:, :, j, i] = np.stack(entries, 1)
    return value, gradient, hessian


def expected(x, columns, v):
    value, gradient, hessian = closed_form(x)
    part = hessian[:, :, columns][..., columns]
    diagonal = np.einsum("nmii->nmi", part)
    return {
        "value": value,
        "jacobian": gradient[:, :, columns],
        "hessian": part,
        "hessian_diagonal": diagonal,
        "laplacian": diagonal.sum(2),
        "directional_curvature": np.einsum("nmij,i,j->nm", part, v, v),
        "hessian_vector_product": part @ v,
    }


def assert_agree(found, wanted, atol):
    for name in wanted:
        assert found[name].shape == wanted[name].shape, name
        np.testing.assert_allclose(found[name], wanted[name], atol=atol, err_msg=name)


COLUMNS = {
    "one": [1],
    "the last": [-1],
    "out of order": [3, 0],
    "three": [2, -4, 1],
    "all, the other way round": [3, 2, 1, 0],
}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ATOL)
@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("most", [0, 256], ids=["wide", "narrow"])
def test_every_quantity_of_every_engine_is_that_entry_of_the_closed_form(
    engine, columns, most, monkeypatch
):
    monkeypatch.setattr(fixed_columns, "MOST_STACKED", most)
    v = np.arange(1.0, 1 + len(columns))
    options = {"columns": columns, "engine": engine, "dtype": "float64"}
    found = kc.derivatives(curved, X, NAMES, v=v, **options)
    assert_agree(found, expected(X, columns, v), ATOL[engine])


@pytest.mark.every(3)
@pytest.mark.parametrize("engine", ["taylor", "nested"])
@pytest.mark.parametrize("xla", [False, True], ids=["graph", "xla"])
def test_inside_of_a_function(engine, xla):
    v = np.array([2.0, -1.0])

    @tf.function(jit_compile=xla)
    def inside(x):
        options = {"columns": [2, 0], "engine": engine, "dtype": "float64"}
        return kc.derivatives(curved, x, NAMES, v=v, **options)

    assert_agree(inside(tf.constant(X)), expected(X, [2, 0], v), ATOL[engine])


@pytest.mark.every(3)
@pytest.mark.parametrize("engine", ATOL)
def test_of_one_input_of_several(engine):
    inputs = {"market": keras.Input((3,), name="market"), "time": keras.Input((1,), name="time")}
    joined = keras.layers.Concatenate()([inputs["market"], inputs["time"]])
    model = keras.Model(inputs, keras.layers.Lambda(curved, output_shape=(2,))(joined))
    x = {"market": Frame(X[:, :3], MARKET[:3]), "time": X[:, 3:]}
    options = {"wrt": "market", "columns": ["vol", "spot"], "engine": engine, "dtype": "float64"}
    found = kc.derivatives(model, x, NAMES, v=[1.0, 3.0], **options)
    # The model is made in float32, so that its weights are; there are none.
    assert_agree(found, expected(X, [2, 0], np.array([1.0, 3.0])), ATOL[engine])


def test_of_the_output_of_a_layer():
    """Of `exp(h0) h1` with `h = x W`, by `h1` and `h0`."""
    weights = np.random.default_rng(1).normal(size=(4, 2))
    dense = keras.layers.Dense(2, use_bias=False, name="mixed")
    last = keras.layers.Lambda(lambda h: keras.ops.exp(h[:, :1]) * h[:, 1:] ** 2, output_shape=(1,))
    model = keras.Sequential([keras.Input((4,)), dense, last])
    dense.set_weights([weights])
    a, b = (X @ weights.astype("float32").astype("float64")).T
    found = kc.hessian(model, X, wrt="mixed", columns=[1, 0], dtype="float64")
    wanted = np.exp(a) * np.array([[2 + 0 * a, 2 * b], [2 * b, b**2]])
    np.testing.assert_allclose(found[:, 0], wanted.transpose(2, 0, 1), atol=1e-12)


def test_chunks_and_the_order_of_examples():
    whole = kc.hessian(curved, X, columns=[0, 2], dtype="float64")
    parts = kc.hessian(curved, X, columns=[0, 2], dtype="float64", batch_size=2)
    np.testing.assert_allclose(whole, parts, atol=1e-12)


def test_it_is_differentiable_by_all_columns():
    """The gradient of a gamma by the vol, which is held."""
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        gamma = kc.hessian_diagonal(curved, x, columns=[1], dtype="float64")[:, 0, 0]
    a, b, c, _ = X.T
    e, s, k = np.exp(a), np.sin(b * c), np.cos(b * c)
    gradient = tape.gradient(gamma, x).numpy()
    wanted = np.stack([-e * s * c**2, -e * k * c**3, -e * (k * b * c**2 + 2 * s * c), 0 * a], 1)
    np.testing.assert_allclose(gradient, wanted, atol=1e-12)


class Frame:
    """What is used of a data frame."""

    def __init__(self, array, columns):
        self.array, self.columns = array, list(columns)

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_names_are_those_of_the_data_frame_that_is_given():
    """Also where the same model has been asked about another one."""
    model = network()
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [0, 1, 2, 3]):
        frame = Frame(X, np.array(MARKET)[order])
        wanted = kc.hessian(model, X, dtype="float64").numpy()
        place = [order.index(2), order.index(0)]
        found = kc.hessian(model, frame, columns=["vol", "spot"], dtype="float64")
        # Against the whole Hessian of the same engine, which other tests hold against the truth.
        np.testing.assert_allclose(found, wanted[:, :, place][..., place], atol=1e-12)


def test_a_data_frame_with_a_column_too_many_is_told_by_its_columns():
    frame = Frame(np.concatenate([X, X[:, :1]], axis=1), [*MARKET, "price"])
    with pytest.raises(ValueError, match=r"4 columns.*data frame of 5, \['spot',.*'price'\]"):
        kc.hessian(network(), frame, columns=["spot"])


def network():
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(6, "tanh")
    return keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(2, name="last")])


def test_answers_do_not_depend_on_what_was_asked_before():
    model = network()
    whole = kc.hessian(model, X, dtype="float64").numpy()
    for columns in ([0], [1], 1, [1, 0], [0, 1], None, [-4]):
        found = kc.hessian(model, X, columns=columns, dtype="float64")
        place = np.arange(4) if columns is None else np.atleast_1d(columns)
        np.testing.assert_allclose(found, whole[:, :, place][..., place], atol=1e-12)


QUADRATIC = np.array([[2.0, 1.0, 0.0], [1.0, -3.0, 2.0], [0.0, 2.0, 5.0]])
POINTS = np.random.default_rng(2).normal(size=(24, 3))


def quadratic(x):
    """`x' Q x / 2`, whose Hessian is Q everywhere."""
    return 0.5 * tf.reduce_sum(x * (x @ tf.constant(QUADRATIC, x.dtype)), 1, keepdims=True)


def test_every_function_takes_columns():
    by = {"columns": [2, 0], "dtype": "float64"}
    diagonal = np.broadcast_to([5.0, 2.0], (24, 1, 2))
    scale = kc.scale_curvature(quadratic, POINTS, [0.3, 0.2], columns=[2, 0])
    assert scale.shape == (2, 24, 1, 2)
    np.testing.assert_allclose(scale, np.stack([diagonal] * 2), atol=1e-10)
    np.testing.assert_allclose(kc.hessian_diagonal(quadratic, POINTS, **by), diagonal, atol=1e-12)
    found = kc.estimate(quadratic, POINTS, ["trace", "eigenvalues"], **by)
    np.testing.assert_allclose(found["trace"].value, 7.0, atol=1e-10)  # no mixed entry: exact
    np.testing.assert_allclose(found["eigenvalues"].value[:, 0], [[2.0, 5.0]] * 24, atol=1e-3)
    estimated = kc.laplacian(quadratic, POINTS, directions=4, **by)
    np.testing.assert_allclose(estimated, np.full((24, 1), 7.0), atol=1e-10)
    assert kc.engine_choice(quadratic, POINTS, ["hessian"], **by).name == "taylor"
    assert kc.verify(quadratic, POINTS, columns=[2, 0]).ok


@pytest.mark.slow
def test_what_hides_in_kinks_is_told_by_column():
    def bent(x):
        return tf.nn.relu(x[:, :1]) + tf.nn.softplus(x[:, 1:2]) + x[:, 2:] ** 2

    x = np.random.default_rng(0).uniform(-1, 1, size=(64, 3))
    found = kc.hidden_fraction(bent, x, along="axes", columns=[1, 0])
    np.testing.assert_allclose(found, [[0.0, 1.0]], atol=1e-3)  # of the quadrature
    by_kink = ("piecewise linear", "flat")  # flat below the kink
    assert kc.diagnose(bent, x, columns=[0]).kinds == by_kink
    assert kc.diagnose(bent, x, columns=[1]).kinds == ()
    frame = Frame(x, ["a", "b", "c"])
    assert kc.diagnose(bent, frame, columns=["a"]).kinds == by_kink


def test_a_finding_of_verify_is_looked_into_with_names_too():
    """Its trials are made of arrays, which have no names."""

    @tf.custom_gradient
    def wrong(x):
        return x**2, lambda upstream: 3 * x * upstream  # 2 x would be right

    found = kc.verify(lambda x: wrong(x[:, 1:2]), Frame(X, MARKET), columns=["vol", "strike"])
    assert not found.ok
    (diagonal,) = [check for check in found.checks if check.name == "hessian_diagonal"]
    assert "column 1" in diagonal.where


def test_the_price_is_that_of_the_columns():
    wide = keras.Sequential(
        [keras.Input((1000,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    )
    x = np.random.default_rng(0).normal(size=(64, 1000)).astype("float32")
    bound = bind(wide, x, Options(columns=[5, 900, 17]))
    assert bound.f.inputs.width == 3
    taylor = ENGINES["taylor"]
    for names in (("hessian",), ("hessian_diagonal",), ("laplacian",)):
        assert taylor.directions(bound.f, names) == 3

    @tf.autograph.experimental.do_not_convert
    def compute(x):
        z, rest = bound.f.point([x])
        return taylor.compute(bound.f, z, rest, None, ("hessian_diagonal",), 3)["hessian_diagonal"]

    concrete = tf.function(compute).get_concrete_function(tf.TensorSpec([64, 1000]))
    sizes = [y.shape.num_elements() for op in needed(concrete.outputs) for y in op.outputs]
    # The directions are the same for all examples until the first activation: no tensor holds three
    # of them for each.
    assert max(sizes) == 64 * 1000


def test_a_narrow_beginning_takes_fewer_directions_than_columns():
    weights = np.random.default_rng(0).normal(size=(6, 1))
    narrow = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(1, use_bias=False),
         keras.layers.Lambda(lambda h: h**3, output_shape=(1,))]
    )  # fmt: skip
    narrow.set_weights([weights])
    weights = weights.astype("float32").astype("float64")
    x = np.random.default_rng(1).normal(size=(4, 6))
    columns = [4, 1, 2]
    f = bind(narrow, x, Options(columns=columns, dtype="float64")).f
    assert ENGINES["taylor"].directions(f, ("hessian",)) == 1
    w = weights[columns, 0]
    wanted = 6 * (x @ weights)[..., None, None] * np.outer(w, w)
    for name in ("hessian", "hessian_diagonal", "laplacian"):
        found = getattr(kc, name)(narrow, x, columns=columns, dtype="float64", engine="taylor")
        part = {
            "hessian": wanted,
            "hessian_diagonal": np.einsum("nmii->nmi", wanted),
            "laplacian": np.einsum("nmii->nm", wanted),
        }[name]
        np.testing.assert_allclose(found, part, atol=1e-12)


def two_inputs():
    inputs = [keras.Input((2,), name="a"), keras.Input((1,), name="b")]
    return keras.Model(inputs, keras.layers.Concatenate()(inputs))


IMAGE = np.zeros((2, 3, 3, 1))
PAIR = [X[:, :2], X[:, 2:3]]

BAD = {
    "a mask": (curved, X, {"columns": [True, False]}, TypeError, "no mask"),
    "a number with a point": (curved, X, {"columns": 1.5}, TypeError, "index or name of a column"),
    "none of them": (curved, X, {"columns": []}, ValueError, "at least one"),
    "too large": (curved, X, {"columns": [0, 4]}, ValueError, "from -4 to 3. Received: 4"),
    "too small": (curved, X, {"columns": -5}, ValueError, "from -4 to 3. Received: -5"),
    "twice": (curved, X, {"columns": [3, -1]}, ValueError, "column 3 is there more than once"),
    "no names": (curved, X, {"columns": ["vol"]}, ValueError, "Give the index of the column"),
    "another name": (
        curved, Frame(X, MARKET), {"columns": "volume"}, ValueError, "among .*'vol'.*'volume'"
    ),
    "an image": (
        lambda x: x[:, :, 0, 0], IMAGE, {"columns": [0]}, ValueError, r"\(batch, columns\)"
    ),
    "a layer of another rank": (
        keras.Sequential([keras.Input((4,)), keras.layers.Reshape((2, 2), name="r")]),
        X, {"wrt": "r", "columns": [0]}, ValueError, "the output of 'r' of shape",
    ),
    "several inputs": (two_inputs(), PAIR, {"columns": [0]}, ValueError, "Choose it with `wrt`"),
    "a list of inputs": (
        two_inputs(), PAIR, {"wrt": ["a", "b"], "columns": [0]}, ValueError, "one input at a time"
    ),
    "inputs": (
        two_inputs(), PAIR, {"columns": ["a", "b"]}, ValueError, r"`wrt=\['a', 'b'\]`"
    ),
    "another input": (
        two_inputs(), PAIR, {"wrt": "a", "columns": ["b"]}, ValueError, "by itself: `wrt='b'`"
    ),
    "integers": (
        lambda x: tf.cast(x, tf.float32),
        POINTS.astype(int), {"columns": [0]}, TypeError, "has no derivative",
    ),
    "a direction of all": (
        curved, X, {"columns": [0], "v": np.ones(4)}, ValueError, r"\(5, 1\).*Received: \[\(4,\)\]"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_told(case):
    model, x, options, error, message = BAD[case]
    names = ["directional_curvature" if "v" in options else "laplacian"]
    with pytest.raises(error, match=message):
        kc.derivatives(model, x, names, **options)
