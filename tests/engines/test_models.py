"""Any shape of model: several inputs and outputs, layers to differentiate by, and kin."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 3, 1))


def joined(structure):
    keras.utils.set_random_seed(0)
    a, b = keras.Input((2,), name="a"), keras.Input((3, 1), name="b")
    h = layers.Dense(8, "tanh")(layers.Concatenate()([a, layers.Flatten()(b)]))
    first, second = layers.Dense(1, name="first")(h), layers.Dense(2, name="second")(h)
    if structure == "dict":
        return keras.Model({"a": a, "b": b}, {"first": first, "second": second})
    return keras.Model([a, b], [first, second])


GIVEN = {"dict": {"a": A, "b": B}, "list": [A, B]}
KEYS = {"dict": ("a", "b", "first", "second"), "list": (0, 1, 0, 1)}


@pytest.mark.every(2)
@pytest.mark.parametrize("structure", ["dict", "list"])
def test_structures_of_inputs_and_outputs(structure):
    model, x = joined(structure), GIVEN[structure]
    a, b, first, second = KEYS[structure]
    hessian = kc.hessian(model, x)
    assert hessian[first][a][b].shape == (5, 1, 2, 3, 1)
    assert hessian[second][b][b].shape == (5, 2, 3, 1, 3, 1)
    # symmetric across the blocks
    np.testing.assert_allclose(
        np.transpose(hessian[second][a][b][..., 0], (0, 1, 3, 2)),
        hessian[second][b][a][:, :, :, 0],
        atol=1e-6,
    )
    jacobian = kc.jacobian(model, x)
    assert jacobian[second][b].shape == (5, 2, 3, 1)
    diagonal, laplacian = kc.hessian_diagonal(model, x), kc.laplacian(model, x)
    summed = tf.reduce_sum(diagonal[second][a], 2) + tf.reduce_sum(diagonal[second][b], [2, 3])
    np.testing.assert_allclose(laplacian[second], summed, atol=1e-6)
    v = keras.tree.map_structure(np.ones_like, x)
    product = kc.hessian_vector_product(model, x, v)
    rows = tf.reduce_sum(hessian[second][a][a], 3) + tf.reduce_sum(hessian[second][a][b], [3, 4])
    np.testing.assert_allclose(product[second][a], rows, atol=1e-5)


@pytest.mark.parametrize("wrt", ["b", 1, -1])
def test_one_of_several_inputs(wrt):
    x = GIVEN["list"]
    whole = kc.hessian(joined("list"), x)
    part = kc.hessian(joined("list"), x, wrt=wrt)
    np.testing.assert_allclose(part[1], whole[1][1][1], atol=1e-6)


def with_keys(kind):
    """`sin(u) + u v²` of a dict with the keys u and v, whatever its inputs are called."""
    names = {"by other names": ("p", "q")}.get(kind, ("u", "v"))
    u, v = (keras.Input((1,), name=name) for name in names)
    bent = layers.Lambda(lambda t: tf.sin(t[0]) + t[0] * t[1] ** 2, output_shape=(1,))([u, v])
    if kind == "by other names":
        with pytest.warns(UserWarning, match="all keys in the dict must match"):
            return keras.Model({"u": u, "v": v}, bent)
    return keras.Model([u, v] if kind == "of a list" else {"u": u, "v": v}, bent)


@pytest.mark.parametrize("more", [{}, {"a": B[:, 0]}, {"w": A}], ids=["no", "before", "behind"])
@pytest.mark.parametrize("kind", ["of a list", "of a dict", "by other names"])
def test_of_a_dict_a_model_takes_what_it_has_inputs_for(kind, more, recwarn):
    """Keras takes the first keys of the alphabet where a model made of a dict gets more."""
    model, x = with_keys(kind), {"u": A[:, :1], "v": A[:, 1:]}
    u, v = A[:, 0], A[:, 1]
    hessian = kc.hessian(model, {**x, **more}, dtype="float64")
    assert set(hessian) == {"u", "v"}
    for one, other, truth in (("u", "u", -np.sin(u)), ("u", "v", 2 * v), ("v", "v", 2 * u)):
        np.testing.assert_allclose(hessian[one][other][:, 0, 0, 0], truth, atol=1e-12)
    alone = kc.hessian_diagonal(model, {**x, **more}, wrt="v", dtype="float64")
    np.testing.assert_allclose(alone[:, 0, 0], 2 * u, atol=1e-12)
    assert not [one for one in recwarn if "structure" in str(one.message)]


def with_columns(count):
    return keras.Sequential([keras.Input((count,)), layers.Dense(1)], name="columns")


LISTS = {"names": ["b", "a"], "indexes": (1, 0), "one": ["b"], "mixed": [-1, "a"]}


@pytest.mark.every(12)
@pytest.mark.parametrize("structure", ["dict", "list"])
@pytest.mark.parametrize("wrt", LISTS.values(), ids=LISTS)
def test_some_of_several_inputs_are_a_dict_by_their_names(wrt, structure):
    """In the order of the list, and directions by name, whatever stands beside them."""
    x, v = GIVEN[structure], {"a": A[0], "b": B[0], "c": None}
    names = ["b", "a"][: len(wrt)]
    whole = kc.hessian(joined(structure), x)
    keys = dict(zip("abfs", KEYS[structure], strict=True))
    found = kc.derivatives(
        joined(structure), x, ["hessian", "laplacian", "hessian_vector_product"], v=v, wrt=wrt
    )
    hessian, product = found["hessian"][keys["f"]], found["hessian_vector_product"][keys["f"]]
    assert list(hessian) == list(product) == names
    for one in names:
        blocks = {other: whole[keys["f"]][keys[one]][keys[other]].numpy() for other in names}
        for other, block in blocks.items():
            np.testing.assert_allclose(hessian[one][other], block, atol=1e-6)
        along = [np.tensordot(block, v[other], v[other].ndim) for other, block in blocks.items()]
        np.testing.assert_allclose(product[one], sum(along), atol=1e-5)
    # float32, summed in another order
    traces = [np.einsum(TRACES[one], hessian[one][one]) for one in names]
    np.testing.assert_allclose(found["laplacian"][keys["f"]], sum(traces), atol=1e-6)


TRACES = {"a": "noii->no", "b": "noijij->no"}


@pytest.mark.slow
def test_a_list_of_inputs_elsewhere():
    model, x, options = joined("list"), [A, B], {"wrt": ["b", "a"], "output": 0}
    shapes = {"b": (5, 1, 3, 1), "a": (5, 1, 2)}
    scaled = kc.scale_curvature(model, x, np.array([0.1, 0.1, 0.1, 9, 9]), **options)
    alone = kc.scale_curvature(model, x, 0.1, output=0, wrt="b")
    np.testing.assert_allclose(scaled["b"], alone, atol=1e-6)  # scales lie as the list does
    diagonal = kc.estimate(model, x, ["diagonal"], **options)["diagonal"].value
    for found in (scaled, diagonal):
        assert {name: array.shape for name, array in found.items()} == shapes
    assert kc.verify(model, x, **options).ok
    assert kc.diagnose(model, x, **options).healthy


@pytest.mark.parametrize("output", ["second", 1])
def test_one_of_several_outputs(output):
    x = GIVEN["list"]
    whole = kc.laplacian(joined("list"), x)
    np.testing.assert_allclose(kc.laplacian(joined("list"), x, output=output), whole[1], atol=1e-6)


def by(wrt):
    return kc.hessian(joined("list"), [A, B], wrt=wrt)


class Frame:
    """Stands in for a data frame."""

    def __init__(self, **columns):
        self.by_name, self.columns = columns, list(columns)

    def __getitem__(self, name):
        return self.by_name[name]


def outputs_in_another_order():
    x = keras.Input((1,))
    return keras.Model(x, {"u": x**2, "a": x**3})


FRAME = Frame(v=A[:, 1], w=B[:, 0, 0], u=A[:, 0])


@pytest.mark.parametrize("kind", ["of a list", "of a dict"])
def test_of_a_data_frame_a_model_takes_the_columns_of_its_names(kind):
    hessian = kc.hessian(with_keys(kind), FRAME, dtype="float64")
    for one, other, truth in (("u", "u", -np.sin(A[:, 0])), ("u", "v", 2 * A[:, 1])):
        np.testing.assert_allclose(hessian[one][other][:, 0, 0, 0], truth, atol=1e-12)


def test_an_index_counts_where_keras_keeps_the_order():
    u, v = A[:, :1], A[:, 1:]
    for given in ({"u": u, "v": v}, [u, v]):
        model = with_keys("of a list" if isinstance(given, list) else "of a dict")
        found = kc.hessian_diagonal(model, given, wrt=1, dtype="float64")
        np.testing.assert_allclose(found[:, 0, 0], 2 * u[:, 0], atol=1e-12)
        if isinstance(given, dict):  # after the same was asked in an order that counts
            with pytest.raises(ValueError, match=r"must name inputs by \['u', 'v'\].*Received: 1"):
                kc.hessian_diagonal(model, {"v": v, "u": u}, wrt=1, dtype="float64")


WRONG = {
    "too few": (
        lambda: kc.hessian(joined("list"), [A]),
        ValueError,
        r"takes 2 inputs, \['a', 'b'\]. Received: 1 array of shape \(5, 2\).*\{'a': \.\.\., 'b'",
    ),
    "x and y": (
        lambda: kc.verify(with_columns(2), (A, A)),
        ValueError,
        r"takes one input, an array of shape \(n, 2\). Received: 2 arrays.* tuple \(x, y\)",
    ),
    "a dict for one": (
        lambda: kc.hessian(with_columns(2), {"x": A}),
        ValueError,
        r"with \['x'\]. Give the points",
    ),
    "a frame that lacks an input": (
        lambda: kc.hessian(with_keys("of a dict"), Frame(u=A[:, 0], b=A[:, 0])),
        ValueError,
        r"\['u', 'v'\].*the columns \['u', 'b'\], without \['v'\].*\{'u': \.\.\., 'v'",
    ),
    "a frame for wide inputs": (
        lambda: kc.hessian(joined("dict"), Frame(a=A[:, 0], b=A[:, 0])),
        ValueError,
        r"inputs \['a', 'b'\] are no single numbers",
    ),
    "text in a frame": (
        lambda: kc.hessian(with_columns(2), Frame(age=A[:, 0], town=np.array(list("abcde")))),
        TypeError,
        r"are no numbers: \{'town': '<U1'\}.*Encode.*drop\(columns=\['town'\]\)",
    ),
    "objects that are numbers": (
        lambda: kc.hessian(with_columns(2), A.astype(object)),
        TypeError,
        r'dtype object. All of them are numbers: write `.astype\("float32"\)`',
    ),
    "a symbolic tensor": (
        lambda: kc.hessian(with_columns(2), keras.Input((2,))),
        TypeError,
        "DerivativeOutput",
    ),
    "a model for points": (
        lambda: kc.hessian(with_columns(2), with_columns(2)),
        TypeError,
        "the model 'columns' in",
    ),
    "points for a model": (
        lambda: kc.verify(A, with_columns(2)),
        TypeError,
        r"an array, \(5, 2\). The model comes first",
    ),
    "ragged lists": (
        lambda: kc.hessian(with_columns(2), [[1.0, 2.0], [3.0]]),
        TypeError,
        "must hold numbers",
    ),
    "an index into a dict in another order": (
        lambda: kc.hessian(joined("dict"), {"b": B, "a": A}, wrt=[0]),
        ValueError,
        r"must name inputs by \['a', 'b'\].*Received: 0",
    ),
    "an index into outputs in another order": (
        lambda: kc.hessian(outputs_in_another_order(), A[:, :1], output=0),
        ValueError,
        r"one of the names \['a', 'u'\].*Received: 0",
    ),
    "a name where there is no choice": (
        lambda: kc.hessian(with_columns(2), A, output="y"),
        ValueError,
        "be an index into the last axis of the model's one",
    ),
    "no such layer": (
        lambda: kc.hessian(joined("list"), [A, B], wrt="c"),
        ValueError,
        r"inputs are \['a', 'b'\], the layers \[",
    ),
    "a scale by name of one array": (
        lambda: kc.scale_curvature(with_columns(2), A, {"x0": 1, "x1": 1}),
        ValueError,
        "Of one array give one array",
    ),
    "other names": (lambda: kc.hessian(joined("dict"), {"a": A, "c": B}), ValueError, "called"),
    "other lengths": (lambda: kc.hessian(joined("list"), [A, B[:3]]), ValueError, "same number"),
    "no such input": (lambda: kc.hessian(joined("list"), [A, B], wrt=2), ValueError, "index into"),
    "an empty list": (lambda: by([]), ValueError, "hold at least one.*Leave it out"),
    "twice": (lambda: by(["a", "b", 0]), ValueError, "each input once.*'a' is there more"),
    "unknown in a list": (lambda: by(["a", "c"]), ValueError, r"inputs \['a', 'b'\].*'c'\."),
    "no such index in a list": (lambda: by([0, 2]), ValueError, "index into"),
    "a layer in a list": (lambda: by(["a", "first"]), ValueError, "stands alone: `wrt='first'`"),
    "a number in a list": (lambda: by([0.5]), TypeError, "or a list of"),
    "a direction too few": (
        lambda: kc.hessian_vector_product(joined("list"), [A, B], {"a": A}, wrt=["a", "b"]),
        ValueError,
        r"without \['b'\]",
    ),
    "no such output": (
        lambda: kc.hessian(joined("list"), [A, B], output="third"),
        ValueError,
        r"\['first', 'second'\]",
    ),
    "no such index": (
        lambda: kc.hessian(joined("list"), [A, B], output=2),
        ValueError,
        "'first', 'second'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_structures(case):
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()


def token_model(subclassed=False):
    keras.utils.set_random_seed(0)
    parts = [
        layers.Embedding(11, 3, name="embedding"),
        layers.Flatten(),
        layers.Dense(8, "tanh"),
        layers.Dense(1),
    ]
    if not subclassed:
        return keras.Sequential([keras.Input((4,), dtype="int32"), *parts])

    class Tokens(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = parts

        def call(self, tokens):
            for part in self.parts:
                tokens = part(tokens)
            return tokens

    model = Tokens()
    model(np.zeros((1, 4), "int32"))
    return model


TOKENS = RNG.integers(0, 11, size=(6, 4))


@pytest.mark.parametrize("subclassed", [False, True])
def test_tokens_are_differentiated_by_their_embedding(subclassed):
    model = token_model(subclassed)
    found = kc.hessian(model, TOKENS, wrt="embedding")
    assert found.shape == (6, 1, 4, 3, 4, 3)
    *_, flatten, dense, last = model.layers
    tail = keras.Sequential([keras.Input((4, 3)), flatten, dense, last])
    embedded = model.layers[0](TOKENS)
    np.testing.assert_allclose(found, kc.hessian(tail, embedded), atol=1e-6)


def test_tokens_without_wrt_say_what_to_do():
    with pytest.raises(TypeError, match=r'for token ids the embedding: `wrt="embedding"`'):
        kc.hessian(token_model(), TOKENS)


def test_a_layer_that_is_called_twice_is_not_one_place():
    shared = layers.Dense(3, "tanh", name="shared")
    x = keras.Input((3,))
    model = keras.Model(x, shared(shared(x)))
    with pytest.raises(ValueError, match="calls 2 times"):
        kc.hessian(model, np.zeros((2, 3)), wrt="shared")
    assert kc.hessian(model, np.zeros((2, 3))).shape == (2, 3, 3, 3)


def test_a_layer_is_as_it_was_after_it_was_tapped():
    model = token_model()
    kc.hessian(model, TOKENS, wrt="embedding")
    assert "call" not in vars(model.get_layer("embedding"))


def test_a_model_in_a_model_and_its_inner_layer():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh", name="deep")])
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3), inner, layers.Dense(1)])
    x = RNG.normal(size=(3, 3))
    np.testing.assert_array_equal(kc.hessian(model, x, wrt="deep"), np.zeros((3, 1, 4, 4)))
    assert np.abs(kc.hessian(model, x)).max() > 0


def test_unknown_lengths_take_the_length_of_the_data():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((None, 2)),
            layers.Conv1D(4, 3, padding="same", activation="tanh"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1),
        ]
    )
    for length in (3, 7):
        x = RNG.normal(size=(2, length, 2))
        found = kc.hessian(model, x, dtype="float64")
        assert found.shape == (2, 1, length, 2, length, 2)
        truth = kc.hessian(model, x, dtype="float64", engine="finite_difference")
        np.testing.assert_allclose(found, truth, atol=1e-7)


def test_dropout_and_noise_are_off_and_batch_normalization_uses_its_averages():
    keras.utils.set_random_seed(0)
    noisy = keras.Sequential(
        [
            keras.Input((3,)),
            layers.GaussianNoise(1.0),
            layers.Dense(8, "tanh"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(1),
        ]
    )
    _, dense, normalization, _, last = noisy.layers
    plain = keras.Sequential([keras.Input((3,)), dense, normalization, last])
    x = RNG.normal(size=(4, 3))
    np.testing.assert_allclose(kc.hessian(noisy, x), kc.hessian(plain, x), atol=1e-6)
    one_by_one = [kc.hessian(noisy, x[i : i + 1])[0] for i in range(4)]
    np.testing.assert_allclose(kc.hessian(noisy, x), one_by_one, atol=1e-6)


def test_a_model_loaded_from_a_file_gives_the_same_numbers(tmp_path):
    model, x = joined("list"), GIVEN["list"]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    found, truth = kc.hessian(loaded, x), kc.hessian(model, x)
    keras.tree.map_structure(np.testing.assert_array_equal, found, truth)
