"""Cases of how models are put together: inputs, outputs, sharing, nesting, subclasses, files."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from cases.building import readout
from cases.case import Case
from cases.points import Floats, Integers, Words


class Subclassed(keras.Model):
    """A model that is code: no graph of layers to look at."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Dense(4, activation="tanh")
        self.normalization = layers.LayerNormalization()
        self.last = layers.Dense(1)

    def call(self, x: Any, training: bool = False) -> Any:
        hidden = self.normalization(self.first(x))
        if training:
            hidden = hidden * 1e6
        return self.last(ops.sin(hidden) * x[:, :1])


class Graph(keras.Model):
    """A model whose call AutoGraph turns into loops and branches."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")
        self.last = layers.Dense(1)

    def build(self, shape: Any) -> None:
        self.dense.build(shape)
        self.last.build((None, 3))

    @tf.function
    def call(self, x: Any) -> Any:
        for i in tf.range(3):
            if self.gain * tf.cast(i, x.dtype) > 0.5:  # noqa: SIM108, AutoGraph reads it
                x = tf.tanh(self.dense(x)) + x
            else:
                x = tf.sin(x)
        return self.last(x)


class NeuralODE(keras.layers.Layer):
    """Euler steps of a small network: the same weights again and again in a loop."""

    def build(self, shape: Any) -> None:
        self.field = layers.Dense(shape[-1], activation="tanh")
        self.field.build(shape)

    def call(self, x: Any) -> Any:
        return ops.fori_loop(0, 4, lambda _, y: y + 0.25 * self.field(y), x)


def _built(model: keras.Model, *shape: int) -> keras.Model:
    model(ops.zeros((1, *shape)))
    return model


def _shared() -> keras.Model:
    inputs = keras.Input((3,))
    shared = layers.Dense(3, activation="tanh")
    return keras.Model(inputs, layers.Dense(1)(shared(shared(inputs)) + shared(inputs)))


def _siamese() -> keras.Model:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    shared = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="tanh")])
    return keras.Model([a, b], layers.Dot(axes=-1, normalize=True)([shared(a), shared(b)]))


def _nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="gelu")])
    middle_input = keras.Input((3,))
    middle = keras.Model(middle_input, layers.LayerNormalization()(inner(middle_input)))
    inputs = keras.Input((3,))
    return keras.Model(inputs, readout(middle(layers.Dense(3, activation="tanh")(inputs))))


def _list_of_inputs() -> keras.Model:
    a, b = keras.Input((3,), name="a"), keras.Input((2, 2), name="b")
    hidden = layers.Concatenate()([a, layers.Flatten()(b)])
    return keras.Model([a, b], readout(hidden))


def _three_inputs() -> keras.Model:
    z, b, a = (keras.Input((width,), name=name) for width, name in ((2, "z"), (2, "b"), (3, "a")))
    curved = layers.Dense(3, activation="tanh")(layers.Concatenate()([z, b]))
    return keras.Model([z, b, a], readout(layers.Multiply()([curved, a])))


def _dict_of_inputs() -> keras.Model:
    # Keras orders a dict by its keys: the names come in the other order than the arguments.
    z, a = keras.Input((2,), name="z"), keras.Input((3,), name="a")
    curved = layers.Dense(3, activation="tanh")(z)
    return keras.Model({"z": z, "a": a}, readout(layers.Multiply()([curved, a])))


def _tower(x: Any) -> Any:
    return layers.Dense(4, activation="tanh")(x)


def _list_of_outputs() -> keras.Model:
    inputs = keras.Input((3,))
    hidden = _tower(inputs)
    return keras.Model(inputs, [layers.Dense(1)(hidden), layers.Dense(2, "sigmoid")(hidden)])


def _dict_of_outputs() -> keras.Model:
    inputs = keras.Input((3,))
    hidden = _tower(inputs)
    outputs = {"mean": layers.Dense(1)(hidden), "deviation": layers.Dense(1, "softplus")(hidden)}
    return keras.Model(inputs, outputs)


def _dicts_both_ways() -> keras.Model:
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    hidden = _tower(layers.Concatenate()([a, b]))
    outputs = {"whole": layers.Dense(1)(hidden), "part": layers.Dense(1)(_tower(b))}
    return keras.Model({"a": a, "b": b}, outputs)


def _tokens_and_numbers() -> keras.Model:
    ids = keras.Input((2,), dtype="int32", name="ids")
    numbers = keras.Input((3,), name="numbers")
    vectors = layers.Flatten()(layers.Embedding(5, 2, name="embedding")(ids))
    return keras.Model({"ids": ids, "numbers": numbers}, readout([vectors, numbers]))


def _embedding_with_positions() -> keras.Model:
    ids = keras.Input((3,), dtype="int32")
    vectors = layers.Embedding(6, 4, name="embedding")(ids)
    hidden = layers.Dense(4, activation="tanh")(vectors + ops.arange(3.0)[:, None])
    return keras.Model(ids, layers.Dense(2)(layers.GlobalMaxPooling1D()(hidden)))


def _any_length(middle: Callable[[], Any]) -> keras.Model:
    inputs = keras.Input((None, 3))
    return keras.Model(inputs, layers.Dense(1)(middle()(inputs)))


def _attention_of_any_length() -> keras.Model:
    inputs = keras.Input((None, 3))
    attended = layers.MultiHeadAttention(2, 2)(inputs, inputs, use_causal_mask=True)
    pooled = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(attended))
    return keras.Model(inputs, layers.Dense(1)(pooled))


def _image_of_any_size() -> keras.Model:
    inputs = keras.Input((None, None, 1))
    hidden = layers.Conv2D(3, 3, activation="gelu", padding="same")(inputs)
    return keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(hidden)))


def _loaded(make: Callable[[], keras.Model]) -> keras.Model:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.keras"
        make().save(path)
        return keras.saving.load_model(path)


def _to_be_saved() -> keras.Model:
    inputs = keras.Input((4,))
    hidden = layers.LayerNormalization(epsilon=0.1)(layers.Dense(4)(inputs))
    hidden = layers.LSTM(2)(layers.Reshape((2, 2))(hidden))
    return keras.Model(inputs, layers.Dense(1)(hidden * ops.sin(inputs[:, :1])))


def _exported() -> keras.Model:
    """A model of which only a SavedModel is left: one call of a function."""
    inner = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, "tanh"), layers.LayerNormalization()]
    )
    rng = np.random.default_rng(0)
    inner.set_weights([rng.normal(size=w.shape).astype("float32") for w in inner.weights])
    with tempfile.TemporaryDirectory() as directory:
        with contextlib.redirect_stdout(io.StringIO()):  # older Keras cannot be silent
            inner.export(directory)
        layer = layers.TFSMLayer(directory, call_endpoint="serve")
    inputs = keras.Input((3,))
    return keras.Model(inputs, readout(layer(inputs)))


def _text_beside_numbers() -> keras.Model:
    city, z = keras.Input((1,), dtype="string", name="city"), keras.Input((3,), name="z")
    known = layers.StringLookup(vocabulary=["Bern", "Rome"], output_mode="one_hot")(city)
    product = layers.Multiply()([layers.Dense(4)(known), layers.Dense(4, "tanh")(z)])
    return keras.Model({"city": city, "z": z}, layers.Dense(1)(product))


def _from_config() -> keras.Model:
    return keras.Model.from_config(_shared().get_config())


def _case(name: str, make: Callable[[], keras.Model], x: Any, *tags: str, **fields: Any) -> Case:
    return Case(id=f"models/{name}", make=make, x=x, tags=frozenset(tags), **fields)


STRUCTURES = [
    _case("list_of_inputs", _list_of_inputs, [Floats((3,)), Floats((2, 2))], "several_inputs"),
    _case(
        "dict_of_inputs",
        _dict_of_inputs,
        {"z": Floats((2,)), "a": Floats((3,))},
        "several_inputs",
    ),
    _case(
        "one_of_a_dict_of_inputs",
        _dict_of_inputs,
        {"z": Floats((2,)), "a": Floats((3,))},
        "several_inputs",
        "wrt",
        wrt="z",
    ),
    _case(
        "one_of_a_list_of_inputs",
        _list_of_inputs,
        [Floats((3,)), Floats((2, 2))],
        "several_inputs",
        "wrt",
        wrt=1,
    ),
    _case(
        "some_of_a_list_of_inputs",
        _three_inputs,
        [Floats((2,)), Floats((2,)), Floats((3,))],
        "several_inputs",
        "wrt",
        wrt=["z", 1],
        note="names in another order than the alphabet's, in which Keras flattens a dict",
    ),
    _case(
        "text_beside_numbers",
        _text_beside_numbers,
        {"city": Words((1,), ("Bern", "Rome")), "z": Floats((3,))},
        "several_inputs",
        "wrt",
        wrt="z",
    ),
    _case("siamese", _siamese, [Floats((3,)), Floats((3,))], "several_inputs"),
    _case("list_of_outputs", _list_of_outputs, Floats((3,)), "several_outputs"),
    _case("dict_of_outputs", _dict_of_outputs, Floats((3,)), "several_outputs"),
    _case(
        "dicts_both_ways",
        _dicts_both_ways,
        {"a": Floats((2,)), "b": Floats((2,))},
        "several_inputs",
        "several_outputs",
    ),
    _case(
        "tokens_and_numbers",
        _tokens_and_numbers,
        {"ids": Integers((2,), 5), "numbers": Floats((3,))},
        "several_inputs",
        "wrt",
        wrt="numbers",
    ),
    _case(
        "tokens_behind_embedding",
        _tokens_and_numbers,
        {"ids": Integers((2,), 5), "numbers": Floats((3,))},
        "several_inputs",
        "wrt",
        wrt="embedding",
    ),
    _case(
        "embedding_with_positions",
        _embedding_with_positions,
        Integers((3,), 6),
        "kinked",
        "wrt",
        wrt="embedding",
    ),
]

SHARING = [
    _case("shared_layer", _shared, Floats((3,))),
    _case("nested", _nested, Floats((3,)), "moments"),
    _case("from_config", _from_config, Floats((3,))),
    _case("loaded", lambda: _loaded(_to_be_saved), Floats((4,)), "loaded", "loop", "moments"),
    _case(
        "exported",
        _exported,
        Floats((3,)),
        *("loaded", "function", "moments"),
        covers=("layers.TFSMLayer",),
    ),
    _case("loaded_nested", lambda: _loaded(_nested), Floats((3,)), "loaded", "moments"),
]

CODE = [
    _case("subclassed", lambda: _built(Subclassed(), 3), Floats((3,)), "moments"),
    _case("autograph", lambda: _built(Graph(), 3), Floats((3,)), "function", "loop", "branch"),
    _case(
        "neural_ode",
        lambda: keras.Sequential([keras.Input((3,)), NeuralODE(), layers.Dense(1)]),
        Floats((3,)),
        "loop",
    ),
]

DYNAMIC = [
    _case(
        "lstm_any_length",
        lambda: _any_length(lambda: layers.LSTM(3)),
        Floats((3, 3)),
        "dynamic",
        "loop",
    ),
    _case(
        "pooling_any_length",
        lambda: _any_length(lambda: _pooled_tower),
        Floats((4, 3)),
        "dynamic",
    ),
    _case("attention_any_length", _attention_of_any_length, Floats((3, 3)), "dynamic", "moments"),
    _case("image_any_size", _image_of_any_size, Floats((4, 4, 1)), "dynamic"),
]


def _pooled_tower(x: Any) -> Any:
    return layers.GlobalAveragePooling1D()(_tower(x))


CASES = [*STRUCTURES, *SHARING, *CODE, *DYNAMIC]
