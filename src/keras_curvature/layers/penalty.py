"""What the layers share that add to the loss in training and pass a model's output on."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import keras

from keras_curvature.engines.backend import (
    LAYERS_HAVE_METRICS,
    as_the_user_computes,
    is_eager,
    not_converted,
)
from keras_curvature.layers.wrapper import DerivativeWrapper, with_masks
from keras_curvature.typing import Columns, Output, Structure, Tensor, Wrt


class Penalty(DerivativeWrapper):
    """A wrapped model with a loss of its own, in training only.

    Args:
        layer: a Keras model or layer.
        strength: what the amount is multiplied by.
        output: of which output, as in `keras_curvature.derivatives`.
        wrt: with respect to what, as there.
        columns: by which columns of an input, as there, by their indexes.
        engine: as there.
        metric_name: what the metric of what was added is called.
        **kwargs: `name`, `trainable` and `dtype`, as for every Keras layer.
    """

    _random: keras.random.SeedGenerator

    def __init__(
        self,
        layer: keras.Layer,
        strength: float,
        *,
        output: Output,
        wrt: Wrt,
        columns: Columns,
        engine: str,
        metric_name: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(layer, output=output, wrt=wrt, columns=columns, engine=engine, **kwargs)
        try:
            sound = 0 <= strength < math.inf
        except TypeError:  # Python's own does not say of what
            sound = False
        if not sound:
            raise ValueError(
                f"`strength` must be a finite number, at least 0. Received: {strength!r}."
            )
        self.strength = float(strength)
        self.penalty = keras.metrics.Mean(name=metric_name)

    @abstractmethod
    def _amount(self, inputs: Structure) -> Tensor:
        """What the strength multiplies, of a batch."""

    def _drawn(self, distribution: Callable[..., Tensor], shape: Any) -> Tensor:
        """Random numbers of the layer, drawn as Keras draws those of any other layer."""
        with as_the_user_computes():
            return distribution(shape, seed=self._random)

    @not_converted
    def call(
        self, inputs: Structure, training: bool | None = None, mask: Structure | None = None
    ) -> Any:
        """Calls the wrapped model, and adds its penalty."""
        inputs = with_masks(inputs, mask)
        if training:
            if not is_eager():
                self._known(inputs)
            added = self.strength * self._amount(inputs)
            added = keras.ops.cast(added, keras.config.floatx())  # in which Keras adds losses up
            self.add_loss(added)
            if LAYERS_HAVE_METRICS:
                self.penalty.update_state(added)
        return self.layer(inputs, training=training)

    @property
    def metrics(self) -> list[Any]:
        """The mean penalty of an epoch, where Keras lets a layer keep it."""
        return super().metrics if LAYERS_HAVE_METRICS else []

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shapes of the wrapped model's output."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments to make this layer again."""
        own = {"strength": self.strength, "metric_name": self.penalty.name}
        return {**super().get_config(), **own}
