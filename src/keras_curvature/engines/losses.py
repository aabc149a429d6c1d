"""The loss of each example as an output of the model, differentiated by `x` at fixed labels."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_curvature.engines.arrays import xp
from keras_curvature.typing import Model

LOSS = "loss"
"""`output=` for the loss that a model was compiled with."""

OF_CLASSES = (
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.Hinge,
    keras.losses.SquaredHinge,
    keras.losses.CategoricalHinge,
)
"""Losses whose labels are numbers of classes or signs."""

HINGES = ("hinge", "squared_hinge", "categorical_hinge")

Loss = Callable[[Any, Any], Any]
"""From labels and the model's output to a number for each example, `(n, 1)`."""


def is_loss(output: Any) -> bool:
    """Whether `output=` is a loss: an object of Keras or a function of labels and predictions."""
    if isinstance(output, keras.losses.Loss):
        return True
    if not callable(output):
        return False
    try:
        parameters = inspect.signature(output).parameters.values()
    except (TypeError, ValueError):  # NumPy's and TensorFlow's own functions may have none
        return False
    needed = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return len(needed) == 2


def labels_are_classes(loss: Any) -> bool:
    """Whether a loss of Keras sets labels against scores, which are no values of these.

    Probabilities are: they estimate the 0 or 1 that stands for their class.
    """
    if loss is None:
        return False
    try:
        known = keras.losses.get(loss)
    except (TypeError, ValueError):  # of somebody else's making
        return False
    if isinstance(known, OF_CLASSES) or getattr(known, "from_logits", False):
        return True
    return getattr(known, "__name__", "") in ("sparse_categorical_crossentropy", *HINGES)


def loss_by_example(given: Any) -> Loss:
    """A loss as Keras knows them, without its mean over the batch.

    For each example it is what Keras gives for a batch of this one alone: further axes of labels
    (time steps, pixels) are averaged, or summed where the loss sums.

    Args:
        given: a `keras.losses.Loss`, the name of one, or a function of labels and predictions.

    Raises:
        ValueError: when it is called, if the loss gives no number for each example.
    """
    loss = _as_object(keras.losses.get(given))
    sums = loss.reduction == "sum"

    def each(y: Any, predicted: Any) -> Any:
        with _unreduced(loss):
            values = xp.array(loss(y, predicted))
        if values.ndim == 0:
            raise ValueError(
                "The loss must give a number for each example, not one for the whole batch. "
                f"Received: {given!r}. Leave its mean over the batch out."
            )
        flat = xp.reshape(values, [xp.lengths(values)[0], -1])
        total = xp.sum if sums else xp.mean
        return total(flat, axis=1, keepdims=True)

    return each


@contextlib.contextmanager
def _unreduced(loss: keras.losses.Loss) -> Iterator[None]:
    """Has a loss leave its mean or sum out; a copy would have to know how to save itself."""
    before, loss.reduction = loss.reduction, None
    try:
        yield
    finally:
        loss.reduction = before


def _as_object(loss: Any) -> keras.losses.Loss:
    return loss if isinstance(loss, keras.losses.Loss) else _OfFunction(loss)


class _OfFunction(keras.losses.Loss):
    """What Keras makes of a function, too: labels and predictions get the same axes and dtype."""

    def __init__(self, function: Loss) -> None:
        super().__init__(name="loss", reduction=None)
        self._function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Calls the function."""
        if xp.is_tensor(y_true) and xp.is_tensor(y_pred):
            rank, other = y_true.ndim, y_pred.ndim
            if rank + 1 == other and y_pred.shape[-1] == 1:
                y_true = y_true[..., None]
            elif rank == other + 1 and y_true.shape[-1] == 1:
                y_true = y_true[..., 0]
        return self._function(y_true, y_pred)


class WithLoss(keras.Model):
    """From `[x, y]` to the loss of each example, `(n, 1)`.

    Attributes:
        labels: how many arrays at the end of the flattened inputs are labels.
    """

    def __init__(self, model: Model, loss: Loss, declared: list[Any], labels: int) -> None:
        """Wraps a built model.

        Args:
            model: the model.
            loss: of its output.
            declared: the Keras tensors that the model takes and those of the labels, in the order
                of the flattened inputs; empty for a model that declares none.
            labels: how many of them are labels.
        """
        super().__init__(
            dtype=getattr(model, "dtype_policy", None), autocast=False, name=_name(model)
        )
        self.model, self.loss_by_example, self.labels = model, loss, labels
        self.inputs = declared
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The loss of each example."""
        x, y = inputs
        predicted = (
            self.model(x, training=training)
            if isinstance(self.model, keras.Layer)
            else self.model(x)
        )
        return self.loss_by_example(y, predicted)

    @property
    def distribute_strategy(self) -> Any:
        """Where the model's variables are mirrored."""
        return getattr(self.model, "distribute_strategy", None)


def labels_of(model: Any) -> int:
    """How many of the model's flattened inputs, the last ones, are labels."""
    return model.labels if isinstance(model, WithLoss) else 0


def _name(model: Any) -> str | None:
    return getattr(model, "name", None)
