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


@pytest.mark.parametrize("output", ["second", 1])
def test_one_of_several_outputs(output):
    x = GIVEN["list"]
    whole = kc.laplacian(joined("list"), x)
    np.testing.assert_allclose(kc.laplacian(joined("list"), x, output=output), whole[1], atol=1e-6)


WRONG = {
    "too few": (lambda: kc.hessian(joined("list"), [A]), ValueError, "takes 2 inputs"),
    "other names": (lambda: kc.hessian(joined("dict"), {"a": A, "c": B}), ValueError, "called"),
    "other lengths": (lambda: kc.hessian(joined("list"), [A, B[:3]]), ValueError, "same number"),
    "no such input": (lambda: kc.hessian(joined("list"), [A, B], wrt=2), ValueError, "index into"),
    "no such output": (
        lambda: kc.hessian(joined("list"), [A, B], output="third"),
        ValueError,
        r"\['first', 'second'\]",
    ),
    "no such index": (
        lambda: kc.hessian(joined("list"), [A, B], output=2),
        ValueError,
        "2 outputs",
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
