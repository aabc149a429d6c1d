"""Examples from near: the right numbers at the right pixels, steps and words."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc
from drawn import texts
from keras_curvature import figures
from keras_curvature.monitor.arguments import words
from watched import untrained

RNG = np.random.default_rng(0)


def bending(shape, dtype="float64"):
    """The sum of `c x³`, whose Hessian is diagonal, and `c`."""
    factors = RNG.normal(size=(int(np.prod(shape)), 1))
    inputs = keras.Input(shape, dtype=dtype)
    last = layers.Dense(1, use_bias=False, dtype=dtype)
    cubes = keras.ops.cast(layers.Flatten(dtype=dtype)(inputs), dtype) ** 3
    model = keras.Model(inputs, last(cubes))
    last.set_weights([factors])
    return model, factors[:, 0].reshape(shape)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "title", "notes"),
    [
        ((6, 6, 1), "Second derivative by pixel", []),
        ((6, 6, 3), "Second derivative by pixel", ["sum over the channels"]),
        ((5, 6), "Second derivative by pixel", []),
        ((20, 2), "Second derivative along each step", ["channel 0", "channel 1"]),
        ((70,), "Second derivative along each input", ["omitted"]),
    ],
)
def test_a_picture_shows_what_is_there(shape, title, notes):
    model, factors = bending(shape)
    x = RNG.uniform(0.5, 1.5, size=(4, *shape))
    monitor = untrained(model, x, directions=4)
    figure = monitor.plot(picture="examples")
    shown = " ".join(texts(figure))
    assert title in shown
    assert "y/x²" in shown  # beside the numbers; those of the headline are in deviations
    assert "in the units of x and y" in shown
    assert all(note in shown for note in notes)
    for i, seen in enumerate(monitor._pictures.seen[""]):
        exact = (6 * factors * x[i]).reshape(-1)
        # Exact up to 512 inputs; float32 on JAX.
        np.testing.assert_allclose(seen.diagonal, exact, rtol=1e-6)
        assert np.all(seen.error == 0)
        assert np.abs(seen.eigenvalue) == pytest.approx(np.abs(exact).max(), rel=0.01)  # Lanczos'
        assert seen.tokens is None
    if title.endswith("pixel"):
        map_ = figure.axes[1].images[0].get_array()
        whole = 6 * factors * x[0]
        whole = whole.sum(axis=-1) if len(shape) == 3 else whole
        np.testing.assert_allclose(map_, whole, rtol=1e-5)


@pytest.mark.slow
def test_whole_numbers_are_pixels_unless_a_layer_embeds_them():
    net = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), layers.Conv2D(2, 3, activation="silu"),
         layers.Flatten(), layers.Dense(1)]
    )  # fmt: skip
    x = RNG.integers(0, 256, size=(4, 8, 8, 1)).astype("uint8")
    figure = untrained(net, x, directions=4).plot()
    assert "Second derivative by pixel" in texts(figure)


HOSTILE = ["", "$x^2$", "a_b", "<script>", "\\frac", "$odd", "温度", "\ud800\x00", "a\nb", "w" * 99]


@pytest.fixture(scope="module")
def reader():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((12,), dtype="int32"), layers.Embedding(12, 3, name="embedding"),
         layers.GlobalAveragePooling1D(), layers.Dense(4, "tanh"), layers.Dense(1)]
    )  # fmt: skip


@pytest.mark.slow
def test_words_stand_in_their_order_and_stay_what_they_are(reader):
    ids = np.roll(np.arange(12), -1)[None].repeat(2, axis=0)  # the padding, 0, comes last
    monitor = untrained(reader, ids, wrt="embedding", directions=2, vocabulary=HOSTILE)
    monitor.plot()  # what it warns of, it does not warn of again
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = monitor.plot()
        figures.to_png(figure)
    words = [t for t in texts(figure) if t in (*HOSTILE, "#10", "#11", "·", "a b")]
    first = ["$x^2$", "a_b", "<script>", "\\frac", "$odd", "温度", "·", "a b", "#10", "#11"]
    assert words == first * 2
    drawn = [t for t in figure.findobj() if hasattr(t, "get_parse_math")]
    assert not any(t.get_parse_math() for t in drawn if t.get_text())
    assert "ww…" in " ".join(texts(figure))  # too long for a line


@pytest.mark.slow
def test_ids_stand_for_themselves_without_words(reader):
    ids = np.arange(24).reshape(2, 12) % 12
    figure = untrained(reader, ids, wrt="embedding", directions=2).plot()
    assert {str(i) for i in range(12)} <= set(texts(figure))


@pytest.mark.parametrize(
    "vocabulary",
    ["a text", b"bytes", 5, [], {"a": 0, "b": 1}, {"a", "b"}, ["a", b"b"], ["a", 1], [["a"]],
     np.array([b"a"])],
)  # fmt: skip
def test_words_come_in_a_list(vocabulary):
    with pytest.raises(TypeError, match=r"must be a list of words.* Received: .{,40}$"):
        kc.CurvatureMonitor(np.zeros((2, 3)), vocabulary=vocabulary)


@pytest.mark.parametrize("vocabulary", [["a", "b"], ("a", "b"), np.array(["a", "b"])])
def test_a_list_may_be_a_tuple_or_an_array(vocabulary):
    assert words(vocabulary) == ["a", "b"]
