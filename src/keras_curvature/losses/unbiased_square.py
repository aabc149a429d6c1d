"""A squared error of estimates that their variance does not enter."""

from __future__ import annotations

from typing import Any

import keras

from keras_curvature.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_curvature")
class UnbiasedSquare(keras.losses.Loss):
    """The product of two independent estimates of a residual: on average its square.

    Example:
        The Poisson equation in 100 inputs, from 16 random directions at each step:

        >>> import keras, numpy as np, keras_curvature as kc
        >>> net = keras.Sequential(
        ...     [keras.Input((100,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)]
        ... )
        >>> layer = kc.DerivativeOutput(net, ["laplacian"], directions=16, halves=True)
        >>> inputs = keras.Input((100,))
        >>> model = keras.Model(inputs, layer(inputs))
        >>> model.output["laplacian"].shape
        (None, 1, 2)
        >>> model.compile("adam", {"laplacian": kc.losses.UnbiasedSquare()})
        >>> x = np.random.default_rng(0).normal(size=(32, 100))
        >>> fit = model.fit(x, {"laplacian": np.ones((32, 1))}, verbose=0)
        >>> sorted(name.split("_")[-1] for name in fit.history)  # and its standard error
        ['error', 'loss']

    An estimate `e` with an error of mean 0 has `E (e - y)² = (E e - y)² + Var e`: a mean squared
    error trains the variance down too, where the model is flat. Two independent estimates have
    `E (e₁ - y)(e₂ - y) = (E e - y)²`. `DerivativeOutput(..., halves=True)` gives them as the last
    axis of what it estimates, each from half of the directions; every other output has a last axis
    of size 1, so that a residual is written as ever: `out["u_t"] - out["laplacian"]`, of shape
    `(batch, ..., 2)`.

    What is unbiased may be below 0 in a batch, where the errors have different signs.

    **Labels have the shape without the last axis**, `(batch, ...)`, or a last axis of size 1 or 2;
    all other sizes must be alike, as broadcasting would set every example against every other.

    As with Keras's squared error, the result has the mean over the axis before the last.

    Args:
        reduction: as in every loss of Keras.
        name: of the loss.
        dtype: in which it is computed.

    Raises:
        ValueError: for predictions without two halves, and labels that do not fit.

    Source:
        Hu, Shi, Karniadakis, Kawaguchi, Hutchinson trace estimation for high-dimensional and
        high-order physics-informed neural networks, Computer Methods in Applied Mechanics and
        Engineering 424, 2024.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "unbiased_square",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The products, `(batch, ...)`."""
        shape, labels = tuple(y_pred.shape), _known_shape(y_true)
        if len(shape) < 2 or shape[-1] != 2:
            raise ValueError(
                "`y_pred` must have two estimates along its last axis. Received: shape "
                f"{shape}. `DerivativeOutput(..., directions=k, halves=True)` gives them."
            )
        if len(labels) == len(shape) - 1:
            y_true, labels = y_true[..., None], (*labels, 1)
        alike = zip(labels[:-1], shape[:-1], strict=False)
        if (
            len(labels) != len(shape)
            or labels[-1] not in (1, 2)
            or any(None not in (a, b) and a != b for a, b in alike)
        ):
            raise ValueError(
                f"`y_true` must have shape {shape[:-1]} to fit predictions of shape {shape}. "
                f"Received: shape {tuple(y_true.shape)}."
            )
        apart = y_pred - y_true
        product = apart[..., 0] * apart[..., 1]
        return product if len(shape) == 2 else keras.ops.mean(product, axis=-1)


def _known_shape(labels: Tensor) -> tuple[int | None, ...]:
    """The shape of labels.

    Raises:
        ValueError: if not even its length is known.
    """
    try:
        return tuple(labels.shape)
    except ValueError as error:
        raise ValueError(
            "`y_true` must have the shape of the predictions without their last axis. Received: "
            "labels of more than one number of axes, one after the other."
        ) from error
