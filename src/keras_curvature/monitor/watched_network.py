"""Which network of the trained model a monitor watches."""

from __future__ import annotations

import keras

from keras_curvature.measurement.probe import Probe


def watched(trained: keras.Model, part: keras.Layer | str | None, probe: Probe) -> keras.Layer:
    """The network to watch: the trained model, which is built if it is not, or a part of it.

    Args:
        trained: the model that `fit` was called on.
        part: a network inside it, or its name.
        probe: what to build the trained model on.

    Raises:
        ValueError: for a part that is not trained, or a model that cannot be called.
        TypeError: for a part that is neither a layer nor a name.
    """
    network = trained if part is None else _part_of(trained, part)
    if type(network).call is keras.Model.call:  # which only raises
        raise ValueError(
            f"The model {network.name!r} has no `call`, so there is no function to watch. Give one "
            f"of the networks inside it as `model=`, itself or its name: {_names(network)}."
        )
    if part is None and not trained.built:
        _build(trained, probe)
    return network


def _part_of(trained: keras.Model, part: keras.Layer | str) -> keras.Layer:
    inside = trained._flatten_layers()
    if isinstance(part, str):
        found = [layer for layer in inside if layer.name == part]
        if len(found) != 1:
            raise ValueError(
                f"`model` must name one network inside {trained.name!r}: one of {_names(trained)}. "
                f"Received: {part!r}, the name of {len(found)}."
            )
        return found[0]
    if not isinstance(part, keras.Layer):
        raise TypeError(
            "`model` must be None, a network inside the trained model, or its name. "
            f"Received: {part!r}."
        )
    weights = {id(weight) for weight in trained.weights}
    if part not in inside and weights.isdisjoint(id(weight) for weight in part.weights):
        raise ValueError(
            f"`model` must be a network inside the trained model {trained.name!r}, with its "
            f"weights. Received: {part.name!r}, which has none of them and would stay as it is. "
            "Keep it in an attribute of the model, or give its name if it was copied."
        )
    return part


def _names(trained: keras.Model) -> list[str]:
    return [layer.name for layer in trained._flatten_layers(include_self=False, recursive=False)]


def _build(model: keras.Model, probe: Probe) -> None:
    """Gives a model its weights, which Keras would make at its first batch."""
    if probe.unfit is not None:
        raise probe.unfit
    points = keras.tree.map_structure(
        lambda leaf: keras.KerasTensor((None, *leaf.shape[1:]), str(leaf.dtype)), probe.x
    )
    try:
        model(points, training=False)
    except Exception as error:
        raise ValueError(
            f"The model {model.name!r} has no build shape yet, and it could not be built for what "
            f"`probe` holds. Call it once on a batch before `fit`. Keras says: {error}"
        ) from error
