"""A smooth copy of a network with kinks."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.api import Place, traits_of
from keras_curvature.engines.backend import activity_of, declared_specs, trace, unnoticed
from keras_curvature.functions.smooth_activations import (
    SMOOTH,
    Ramp,
    SmoothActivation,
    SmoothPReLU,
    ramp,
)

Config = dict[str, Any]

LAYERS = ("ReLU", "LeakyReLU", "PReLU")
"""The layers of Keras that are activations with kinks."""

OPERATIONS = {
    "Abs": "abs",
    "Absolute": "abs",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "LeakyRelu": "leaky_relu",
    "ReLU": "relu",
    "Relu": "relu",
    "Relu6": "relu6",
    "Selu": "selu",
    "SoftShrink": "soft_shrink",
    "SparseSigmoid": "sparse_sigmoid",
}
"""The operations of `keras.ops` and `keras.activations` in functional models, by class."""

COMPARISONS: dict[str, Callable[..., Any]] = {
    "Maximum": lambda r, x, y: y + r(x - y),
    "Minimum": lambda r, x, y: y - r(y - x),
}
"""Those of two tensors, and the layers of several that are called the same."""


def smooth(model: keras.Model, beta: float) -> keras.Model:
    """Makes a copy of a model in which activations with kinks are smooth.

    Each kink of an activation is rounded off as `max(x, 0)` is in `softplus(beta x) / beta`:
    relu, leaky_relu, prelu, relu6, selu, abs, maximum, minimum, clip, hard_sigmoid, hard_silu,
    hard_tanh, soft_shrink and sparse_sigmoid, as an argument of a layer, as a layer or as an
    operation, in nested models too. The copy has the same weights, and tends to the original
    as `beta` grows, with an error of the order of `log(2) / beta`. Its exact second
    derivative sees what the kinks hid, averaged with a standard deviation of `1.8 / beta` in the
    argument of each activation; `scale_curvature` averages over a distance in the model's input.

    The original stays as it is. The copy is not compiled; it can be trained, and saved as
    `.keras`, and to load it import this package first.

    Args:
        model: a functional or Sequential model.
        beta: how sharp the kinks stay, in units of one over the activations' arguments.

    Returns:
        The copy.

    Raises:
        ValueError: for a subclassed model, an activation that jumps, or a layer that cannot
            be copied, by its name; and for a `beta` that is not positive.

    Warns:
        UserWarning: where kinks are left that have no counterpart here, by their layers.

    Source:
        As Dombrowski et al., Explanations can be manipulated and geometry is to blame,
        NeurIPS 2019, do with ReLU.

    Example:
        >>> import keras
        >>> import keras_curvature as kc
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.ReLU()])
        >>> float(kc.laplacian(model, [[0.0]])[0, 0])
        0.0
        >>> float(kc.laplacian(kc.smooth(model, beta=10.0), [[0.0]])[0, 0])
        2.5
    """
    copier = _Copier(_positive(beta))
    with unnoticed(model):
        copy = copier.model(model)
    for original, layer in copier.layers:
        layer.set_weights(original.get_weights())
    left = _kinks_left(copy)
    if left:
        warnings.warn(
            "The smooth copy still has kinks, or parts that may have some: "
            f"{', '.join(map(str, left))}. Only activations that stand in the configuration of a "
            "layer and those of `keras.ops` in a functional model are replaced.",
            stacklevel=2,
        )
    return copy


def _positive(beta: Any) -> float:
    number = isinstance(beta, (int, float, np.number)) and not isinstance(beta, bool)
    if not (number and np.isfinite(beta) and beta > 0):
        raise ValueError(f"`beta` must be a positive number. Received: {beta!r}.")
    return float(beta)


class _Copier:
    """Copies models, and keeps which layer became which.

    Attributes:
        layers: pairs of a layer and its copy.
    """

    def __init__(self, beta: float) -> None:
        self.layers: list[tuple[keras.Layer, keras.Layer]] = []
        self._beta = beta
        self._copies: dict[int, Any] = {}

    def model(self, model: keras.Model) -> keras.Model:
        """A copy with weights of its own, not compiled."""
        sequential = isinstance(model, keras.Sequential)
        graph = sequential or hasattr(model, "_run_through_graph")
        if not graph or not type(model).call.__module__.startswith("keras."):
            raise ValueError(
                "`smooth` copies functional and Sequential models, whose layers it can see. "
                f"Received: {model!r}, a subclassed model. Build the copy yourself, with "
                '`"softplus"` for `"relu"`, and give it the weights: '
                "`copy.set_weights(model.get_weights())`."
            )
        if not model.built:
            raise ValueError(
                f"The model {model.name!r} has no build shape yet, so it has no weights to copy. "
                "Give it a `keras.Input`, call `model.build(shape)`, or call it once on data."
            )
        if sequential:
            start = keras.Input(batch_shape=model.input_shape, dtype=model.inputs[0].dtype)
            layers = [self._once(layer) for layer in model.layers]
            return keras.Sequential([start, *layers], name=model.name)
        inputs = keras.tree.map_structure(
            lambda t: keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name), model.input
        )
        outputs = model._run_through_graph(inputs, operation_fn=self._once)
        return keras.Model(inputs, outputs, name=model.name)

    def _once(self, operation: Any) -> Any:
        """A layer that is used several times has one copy."""
        if id(operation) not in self._copies:
            self._copies[id(operation)] = self._copy(operation)
        return self._copies[id(operation)]

    def _copy(self, operation: Any) -> Any:
        if isinstance(operation, keras.Model):
            return self.model(operation)
        rounded = _rounded(operation, ramp(self._beta))
        if rounded is not None:
            return rounded
        if isinstance(operation, keras.layers.Lambda):
            return _lambda_like(operation)
        copy = _layer_like(operation, self._beta)
        if isinstance(operation, keras.Layer):
            self.layers.append((operation, copy))
        return copy


def _rounded(operation: Any, r: Ramp) -> Callable[..., Any] | None:
    """What stands for an operation of several tensors, or with bounds, that has kinks."""
    name = type(operation).__name__
    if not type(operation).__module__.startswith("keras."):
        return None
    if name in COMPARISONS and isinstance(operation, keras.Layer):
        return lambda inputs: functools.reduce(functools.partial(COMPARISONS[name], r), inputs)
    if name in COMPARISONS:
        return functools.partial(COMPARISONS[name], r)
    if name == "Clip":
        low, high = operation.x_min, operation.x_max
        return lambda x: low + r(x - low) - r(x - high)
    return None


def _lambda_like(layer: keras.layers.Lambda) -> keras.layers.Lambda:
    """From the function itself: its configuration holds Python code, which is not run."""
    return keras.layers.Lambda(
        layer.function,
        output_shape=layer._output_shape,
        mask=layer.mask,
        arguments=layer.arguments,
        name=layer.name,
        dtype=layer.dtype_policy,
    )


def _layer_like(operation: Any, beta: float) -> Any:
    """A layer or operation made from its configuration, with smooth activations in it."""
    name = type(operation).__name__
    own = type(operation).__module__.startswith("keras.")
    if own and name in OPERATIONS and not isinstance(operation, keras.Layer):
        arguments = operation.get_config()
        label = arguments.pop("name")
        if name == "ReLU":
            arguments = _without_jump(label, arguments)
        activation = SmoothActivation(OPERATIONS[name], beta, **arguments)
        return keras.layers.Activation(activation, name=label)
    functions = _functions_of_others(operation)
    try:
        old = _serialized(operation)
        for key in functions:
            old["config"][key] = "linear"
        new = _smoothed(old, beta)
        if new["class_name"] != old["class_name"]:
            return keras.saving.deserialize_keras_object(new)
        copy = type(operation).from_config(new["config"])
    except (AttributeError, NotImplementedError, TypeError) as error:
        raise ValueError(
            f"The layer {operation.name!r} cannot be copied from its configuration. Give its "
            "class `get_config` and `from_config`, and register its functions with "
            "`keras.saving.register_keras_serializable`."
        ) from error
    for key, function in functions.items():
        setattr(copy, key, function)
    return copy


def _functions_of_others(operation: Any) -> dict[str, Any]:
    """Activations of a layer that its configuration may misname, such as a lambda."""
    return {
        key: value
        for key, value in vars(operation).items()
        if key.endswith("activation")
        and callable(value)
        and not hasattr(value, "get_config")
        and str(value.__module__).partition(".")[0] not in ("keras", "tensorflow")
    }


def _serialized(thing: Any) -> Config:
    """Its configuration, without the warning that a lambda cannot be loaded safely."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*lambda")
        return keras.saving.serialize_keras_object(thing)


def _smoothed(config: Any, beta: float) -> Any:
    """A configuration in which smooth counterparts stand for what has kinks."""
    if isinstance(config, (list, tuple)):
        return type(config)(_smoothed(part, beta) for part in config)
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "function" and _name_of_function(config) in SMOOTH:
        return _activation(_name_of_function(config), beta)
    if config.get("class_name") in LAYERS and config.get("module") == "keras.layers":
        return _layer(config, beta)
    return {
        key: _activation(part, beta)
        if key.endswith("activation") and isinstance(part, str) and part in SMOOTH
        else _smoothed(part, beta)
        for key, part in config.items()
    }


def _name_of_function(config: Config) -> str:
    name = config.get("config")
    return name if isinstance(name, str) else ""


def _activation(name: str, beta: float, **arguments: Any) -> Config:
    return keras.saving.serialize_keras_object(SmoothActivation(name, beta, **arguments))


def _layer(config: Config, beta: float) -> Config:
    """The configuration of what stands for one of `LAYERS`."""
    inner = dict(config["config"])
    if config["class_name"] == "PReLU":
        changed = {
            "module": None,
            "class_name": SmoothPReLU.__name__,
            "config": {**inner, "beta": beta},
            "registered_name": f"keras_curvature>{SmoothPReLU.__name__}",
        }
        return {**config, **changed}
    names = ("negative_slope", "max_value", "threshold")
    arguments = {name: inner.pop(name) for name in names if name in inner}
    inner["activation"] = _activation("relu", beta, **_without_jump(inner["name"], arguments))
    return {**config, "class_name": "Activation", "config": inner}


def _without_jump(name: str, arguments: Config) -> Config:
    """The arguments of a ReLU without its threshold, where it would jump."""
    if arguments.get("threshold"):
        raise ValueError(
            f"The ReLU {name!r} jumps at its threshold, and a jump has no smooth counterpart. "
            "Use a ReLU without a threshold."
        )
    return {key: value for key, value in arguments.items() if key != "threshold"}


def _kinks_left(model: keras.Model) -> list[Place]:
    """Where kinks remain, in the order of computation."""
    given = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    specs = declared_specs(keras.tree.flatten(given))
    structure = keras.tree.map_structure(lambda _: None, given)
    traced = trace(model, specs, structure, lambda outputs: outputs)
    names = [layer.name for layer in model._flatten_layers(include_self=False)]
    report = activity_of(traced, traced.inputs, names)
    return [place for place in report.active if traits_of(place.op_type).kinked]
