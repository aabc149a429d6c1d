"""The loss at a probe `(x, y)` as what the monitor differentiates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_curvature.engines.api import (
    LOSS,
    WithLoss,
    is_loss,
    keys_in_order,
    loss_by_example,
    matched,
    require_labels,
)
from keras_curvature.measurement.probe import Probe
from keras_curvature.typing import Output

ONE = (
    "A loss as `output` needs a model of one output and one loss. Give a function of the labels "
    "and the model's outputs that adds them up as you want, one number for each example: "
    "`output=lambda y, outputs: ...`."
)


def asks_for_loss(model: keras.Model, output: Output) -> bool:
    """Whether `output=` is a loss, and not an output of the model that has this name."""
    if output != LOSS:
        return is_loss(output)
    try:
        declared = model.output
    except (AttributeError, ValueError):  # Sequential and subclassed models may have none
        return True
    return not (isinstance(declared, dict) and LOSS in declared)


def with_loss(model: keras.Model, probe: Probe, output: Output) -> tuple[WithLoss, Probe]:
    """A model from points and labels to the loss of each, and these as its points.

    The labels belong to the examples and are not differentiated by.

    Args:
        model: a built model.
        probe: `(x, y)`.
        output: `"loss"`, the one that the model was compiled with, or a loss.

    Raises:
        ValueError: for a probe without labels or with other ones than the loss needs, or a model
            without a loss or with several.
    """
    if probe.y is None:
        raise ValueError(
            "A loss as `output` needs the labels too: `probe` must be (x, y). Received: x alone."
        )
    _require_one_output(model, output)
    given = _compiled_loss(model) if output == LOSS else output
    labels = keras.tree.flatten(probe.y)
    outputs = getattr(model, "outputs", None) or []
    if len(labels) == len(outputs) == 1:
        require_labels(given, labels[0], tuple(outputs[0].shape))
    x, points = matched(model, probe.x)
    wrapped = WithLoss(model, loss_by_example(given), _declared(points, labels), len(labels))
    return wrapped, dataclasses.replace(probe, x=[x, probe.y], y=None)


def _compiled_loss(model: keras.Model) -> Any:
    loss = getattr(model, "loss", None)
    if loss is None:
        raise ValueError(
            "`output='loss'` is the loss that the model was compiled with, and it was compiled "
            "with none. Give the loss itself: `output=keras.losses.MeanSquaredError()`."
        )
    several = isinstance(loss, (dict, list, tuple))
    alone = list(loss.values() if isinstance(loss, dict) else loss) if several else [loss]
    if len(alone) != 1:
        raise ValueError(f"{ONE} Received: {loss!r}.")
    return alone[0]


def _require_one_output(model: keras.Model, output: Output) -> None:
    """A loss of Keras is of one output; a function of labels and outputs may be of more."""
    declared = getattr(model, "outputs", None) or [None]
    if len(declared) == 1 or not (output == LOSS or isinstance(output, keras.losses.Loss)):
        return
    names = keys_in_order(model.output) or getattr(model, "output_names", None)
    raise ValueError(
        f"{ONE} Received: outputs {names}. The curvature of one output itself is had with "
        f"`output={names[0] if names else 0!r}`."
    )


def _declared(points: Sequence[Any], labels: Sequence[Any]) -> list[Any]:
    """The Keras tensors of points and labels; none where the model declares none."""
    if not points:
        return []
    names = ["y"] if len(labels) == 1 else [f"y_{i}" for i in range(len(labels))]
    return [*points, *(_tensor_like(y, name) for y, name in zip(labels, names, strict=True))]


def _tensor_like(label: Any, name: str) -> Any:
    return keras.KerasTensor((None, *label.shape[1:]), dtype=str(label.dtype), name=name)
