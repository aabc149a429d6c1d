"""Cases of recurrent layers and of layers that run another layer step by step."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from cases.building import layer_case

LINE, FRAMES = (4, 2), (3, 3, 3, 1)


class NormalizedCell(keras.layers.Layer):
    """A recurrent cell with LayerNormalization: TensorFlow's defect inside a loop."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.kernel = layers.Dense(units)
        self.recurrent = layers.Dense(units, use_bias=False)
        self.normalization = layers.LayerNormalization()

    def build(self, shape: Any) -> None:
        self.kernel.build(shape)
        self.recurrent.build((None, self.units))
        self.normalization.build((None, self.units))

    def call(self, inputs: Any, states: Any) -> tuple[Any, list[Any]]:
        drive = self.kernel(inputs) + self.recurrent(states[0])
        output = keras.ops.tanh(self.normalization(drive))
        return output, [output]


def _cell(name: str, units: int = 3) -> Any:
    return getattr(layers, name)(units)


GATED = [
    layer_case(name, lambda name=name: _cell(name), LINE, "loop", also=[f"{name}Cell"])
    for name in ("SimpleRNN", "GRU", "LSTM")
]

VARIANTS = [
    layer_case("LSTM[sequences]", lambda: layers.LSTM(3, return_sequences=True), LINE, "loop"),
    layer_case("LSTM[backwards]", lambda: layers.LSTM(3, go_backwards=True), LINE, "loop"),
    layer_case("LSTM[unrolled]", lambda: layers.LSTM(3, unroll=True), LINE),
    layer_case("LSTM[with_states]", lambda: layers.LSTM(3, return_state=True), LINE, "loop"),
    layer_case("GRU[reset_before]", lambda: layers.GRU(3, reset_after=False), LINE, "loop"),
    layer_case(
        "SimpleRNN[relu]", lambda: layers.SimpleRNN(3, activation="relu"), LINE, "loop", "kinked"
    ),
    layer_case("SimpleRNN[unrolled]", lambda: layers.SimpleRNN(3, unroll=True), LINE),
    layer_case("Bidirectional", lambda: layers.Bidirectional(layers.LSTM(2)), LINE, "loop"),
    layer_case(
        "Bidirectional[sum]",
        lambda: layers.Bidirectional(layers.GRU(2, return_sequences=True), merge_mode="sum"),
        LINE,
        "loop",
    ),
    layer_case("RNN", lambda: layers.RNN(layers.LSTMCell(3)), LINE, "loop"),
    layer_case(
        "RNN[LayerNormalization_in_the_cell]",
        lambda: layers.RNN(NormalizedCell(4)),
        LINE,
        "loop",
        "moments",
        step=1 / 512,
    ),
    layer_case(
        "RNN[LayerNormalization_in_the_cell,unrolled]",
        lambda: layers.RNN(NormalizedCell(4), unroll=True),
        LINE,
        "moments",
    ),
    layer_case(
        "StackedRNNCells",
        lambda: layers.RNN(layers.StackedRNNCells([layers.GRUCell(3), layers.SimpleRNNCell(2)])),
        LINE,
        "loop",
    ),
    layer_case("ConvLSTM1D", lambda: layers.ConvLSTM1D(2, 2), (3, 3, 2), "loop"),
    layer_case("ConvLSTM2D", lambda: layers.ConvLSTM2D(2, 2), FRAMES, "loop"),
    layer_case("ConvLSTM3D", lambda: layers.ConvLSTM3D(1, 2), (2, 2, 2, 2, 1), "loop"),
]

STEP_BY_STEP = [
    layer_case(
        "TimeDistributed",
        lambda: layers.TimeDistributed(layers.Dense(3, activation="tanh")),
        LINE,
        "loop",
    ),
    layer_case(
        "TimeDistributed[LayerNormalization]",
        lambda: layers.TimeDistributed(layers.LayerNormalization()),
        (3, 4),
        "loop",
        "moments",
    ),
    layer_case(
        "TimeDistributed[Conv2D]",
        lambda: layers.TimeDistributed(layers.Conv2D(2, 2)),
        FRAMES,
        "loop",
    ),
]

CASES = [*GATED, *VARIANTS, *STEP_BY_STEP]
