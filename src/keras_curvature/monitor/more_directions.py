"""A callback that estimates from more random directions where few do not do any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from keras_curvature.layers import DerivativeOutput


class MoreDirections(keras.callbacks.Callback):
    """Doubles the random directions of a `DerivativeOutput` while chance hides the residual.

    Example:
        >>> import keras, numpy as np, keras_curvature as kc
        >>> net = keras.Sequential(
        ...     [keras.Input((50,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
        ... )
        >>> layer = kc.DerivativeOutput(net, ["laplacian"], directions=2, halves=True)
        >>> inputs = keras.Input((50,))
        >>> model = keras.Model(inputs, layer(inputs))
        >>> model.compile("sgd", {"laplacian": kc.losses.UnbiasedSquare()})
        >>> x = np.random.default_rng(0).normal(size=(64, 50))
        >>> labels = {"laplacian": np.asarray(kc.laplacian(net, x))}  # a residual of 0
        >>> more = kc.MoreDirections(layer, most=8, verbose=0)
        >>> fit = model.fit(x, labels, epochs=4, verbose=0, callbacks=[more])
        >>> layer.directions
        8

    At the end of an epoch, if the standard error of an estimate, which Keras's log has, is above
    the root mean square of the residual, the layer's `directions` become twice as many, and Keras's
    functions are compiled anew. Of a mean square the residual is what is left without the squared
    standard error; a loss of `halves` (`kc.losses.UnbiasedSquare`) is free of it. The error of a
    single direction is not known (NaN): there are two after the first epoch.

    The two can be compared where the estimate is in the residual as it is, not times a number, and
    where the monitored loss is of this residual alone: of boundary values and others, give its own
    loss as `monitor`.

    Args:
        layer: the layer; it must be in the model that is trained.
        most: directions that are not exceeded.
        monitor: which of Keras's logs is the mean square of the residual.
        verbose: 0 to say nothing; 1 for a line each time.

    Raises:
        TypeError: for a layer that estimates nothing.
        ValueError: for an impossible number of directions, and, when training begins, for a layer
            that is not in the model.
    """

    def __init__(
        self,
        layer: keras.Layer,
        most: int = 256,
        monitor: str = "loss",
        verbose: int = 1,
    ) -> None:
        super().__init__()
        if not isinstance(layer, DerivativeOutput) or layer.directions is None:
            raise TypeError(
                f"`layer` must be a `DerivativeOutput` with `directions`. Received: {layer!r}."
            )
        if most < 1:
            raise ValueError(f"`most` must be at least 1. Received: {most!r}.")
        self.layer = layer
        self.most = most
        self.monitor = monitor
        self.verbose = verbose

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Sees that the layer is one of the model's.

        Raises:
            ValueError: where it is not, as one is not that was there before the model was loaded.
        """
        layers = self.model._flatten_layers()
        if not any(layer is self.layer for layer in layers):
            names = [layer.name for layer in layers if isinstance(layer, DerivativeOutput)]
            raise ValueError(
                f"`layer` must be in the model that is trained. Received: {self.layer.name!r}, "
                f"which is not in {self.model.name!r}. It has {names or 'no DerivativeOutput'}; of "
                "a model that was loaded, take the layer with `model.get_layer(name)`."
            )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Compares, and doubles."""
        logs = logs or {}
        if self.monitor not in logs:
            raise ValueError(
                f"`monitor` must be one of Keras's logs, {sorted(logs)}. Received: "
                f"{self.monitor!r}."
            )
        layer = self.layer
        errors = [float(logs[key]) for key in layer.standard_errors if key in logs]
        before = layer.directions
        assert before is not None, "checked when this was made"
        if not errors or 2 * before > self.most:
            return
        error, square = max(errors), float(logs[self.monitor])
        residual = math.sqrt(max(0.0, square if layer.halves else square - error**2))
        if error <= residual:  # that of a single direction is not known: NaN
            return
        layer.directions = 2 * before
        _compile_anew(self.model)
        if self.verbose:
            print(
                f"\nEpoch {epoch + 1}: {layer.name!r} estimates from {2 * before} random "
                f"directions from now on, {before} before: the standard error, {error:.3g}, was "
                f"above the residual, {residual:.3g}."
            )


def _compile_anew(model: keras.Model) -> None:
    """Has Keras trace what it has traced for another number of directions."""
    model.make_train_function(force=True)
    if model.test_function is not None:
        model.make_test_function(force=True)
    if model.predict_function is not None:
        model.make_predict_function(force=True)
