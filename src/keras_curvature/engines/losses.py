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

OF_CLASS_NUMBERS = ("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy")
OF_ONE_HOT = ("categorical_crossentropy", "categorical_focal_crossentropy")
OF_WHOLE_BATCHES = ("ctc", "dice", "tversky", "circle")
"""Losses of Keras whose labels may have other shapes than the model's output."""

HINGES = ("hinge", "squared_hinge", "categorical_hinge")

Sizes = tuple[int | None, ...]

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


def require_labels(given: Any, y: Any, scores: Sizes) -> None:
    """Checks labels against what a loss of Keras sets them against.

    Keras and TensorFlow say it of tensors in the graph, or of a training that has begun, and
    broadcast values of a batch as large as the number of classes.

    Args:
        given: the loss, as `loss_by_example` takes it.
        y: an array, or a tensor of which only the shape is looked at.
        scores: the shape of the model's output.

    Raises:
        ValueError: for one-hot labels where numbers of classes belong, or the other way round, a
            number that no class has, and values with other axes than the output.
    """
    loss = keras.losses.get(given)
    function = getattr(loss, "fn", loss)
    name = getattr(function, "__name__", "")
    if not getattr(function, "__module__", "").startswith("keras.") or name in OF_WHOLE_BATCHES:
        return
    shape, per_class, classes = tuple(y.shape), tuple(scores[1:]), scores[-1]
    numbered = _are(shape[1:], per_class[:-1]) or _are(shape[1:], (*per_class[:-1], 1))
    if name in OF_CLASS_NUMBERS:
        fits, needs = numbered, f"the number of the class, shape {('n', *per_class[:-1])}"
        do = "`np.argmax(y, axis=-1)` makes them of one-hot labels"
    elif name in OF_ONE_HOT:
        fits, needs = _are(shape[1:], per_class), f"one-hot labels, shape {('n', *per_class)}"
        do = f"`keras.utils.to_categorical(y, {classes})` makes them of the classes' numbers"
    else:
        spread = (*shape[1:], 1) if len(shape) < len(scores) and classes == 1 else shape[1:]
        spread = shape[1:-1] if len(shape) > len(scores) and shape[-1] == 1 else spread
        # Keras broadcasts, but for these.
        ones = () if name.startswith("binary") else (1,)
        fits = _are(spread, per_class, ones)
        needs, do = f"a value for each of the output, shape {('n', *per_class)}", "Reshape `y`"
    if not fits:
        raise ValueError(f"The loss {name!r} needs {needs}. Received: `y` of shape {shape}. {do}.")
    if name in OF_CLASS_NUMBERS and classes is not None and not xp.is_tensor(y):
        meant = y[y != getattr(loss, "ignore_class", None)]
        beyond = meant[(meant < 0) | (meant >= classes) | (meant % 1 != 0)]
        if beyond.size:
            raise ValueError(
                f"The loss {name!r} needs whole numbers of classes from 0 to {classes - 1}. "
                f"Received: {beyond[0]} in `y`."
            )


def _are(shape: Sizes, wanted: Sizes, free: Sizes = ()) -> bool:
    """Whether shapes are the same as far as they are known and not free."""
    return len(shape) == len(wanted) and all(
        one == other or not {one, other}.isdisjoint((None, *free))
        for one, other in zip(shape, wanted, strict=True)
    )


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
        if xp.is_tensor(y) and xp.is_tensor(predicted):
            require_labels(given, y, tuple(predicted.shape))
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
