"""What the layers of this library share: a wrapped Keras model whose derivatives they take."""

from __future__ import annotations

import warnings
import weakref
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.api import (
    WHOLE,
    BoundModel,
    Layout,
    Options,
    bind,
    by_index,
    checked_columns,
    checked_wrt,
    keys_in_order,
    mask_of,
    masked,
    side_by_side,
)
from keras_curvature.engines.backend import (
    REFUSALS,
    FlatFunction,
    computing_in,
    keeps_float64,
    outside,
    random_in_training,
    switches_of,
)
from keras_curvature.typing import Columns, Output, Structure, Tensor, Wrt

FINITE_DIFFERENCE = "finite_difference"
"""The engine whose second derivatives see kinks."""

EXAMPLES = 4
"""Examples in the made-up batch on which a model is traced before there are data."""

MADE_UP = 64, 96
"""Two sizes for an axis that is open before there are data: what differs between them is open too.

Large enough for windows and pooling, and divisible by 32 as networks that halve images want.
"""

_looked_for_noise: weakref.WeakSet[keras.Layer] = weakref.WeakSet()
_looked_for_rounding: weakref.WeakSet[keras.Layer] = weakref.WeakSet()
_looked_for_lines: weakref.WeakSet[keras.Layer] = weakref.WeakSet()


class DerivativeWrapper(keras.layers.Wrapper):
    """A wrapped model, in inference mode, as a function to be differentiated.

    Args:
        layer: a Keras model or layer.
        output: which output to differentiate, as in `keras_curvature.derivatives`.
        wrt: with respect to what, as there.
        columns: by which columns of an input, as there, by their indexes.
        engine: as there.
        **kwargs: `name`, `trainable` and `dtype` as for every Keras layer.
    """

    def __init__(
        self,
        layer: keras.Layer,
        *,
        output: Output = None,
        wrt: Wrt = None,
        columns: Columns = None,
        engine: str = "auto",
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, keras.Layer):
            raise TypeError(
                f"The first argument of `{type(self).__name__}` must be a Keras model or layer. "
                f"Received: {layer!r}. Of a function of tensors make one: "
                "`keras.layers.Lambda(function)`."
            )
        # The input is not cast to float16: the wrapped model says what it takes.
        super().__init__(layer, autocast=False, **kwargs)
        self.output_choice = output
        self.wrt = checked_wrt(wrt)
        self.columns = _indexes(columns)
        self.engine = engine
        self._options()  # raises now for what cannot be right
        if not self.trainable:
            layer.trainable = False  # Keras's own wrappers go on training theirs

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """As every layer of Keras; says once where Keras rounds what the layer is given."""
        self._warn_of_rounding(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Builds the wrapped model by calling it, as only that builds every kind of model."""
        if not self.layer.built:
            self.layer(keras.tree.map_shape_structure(keras.KerasTensor, input_shape))

    @property
    def metrics(self) -> list[Any]:
        """This layer's own: a model around it finds those of the wrapped layers by itself.

        Keras's own wrappers add those of the wrapped model, its loss among them, which would hide
        the loss of the model around it.
        """
        return list(self._metrics)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """None besides those that the wrapped model's own layers hang on its output.

        That it is here at all tells Keras that masks pass.
        """

    def get_config(self) -> dict[str, Any]:
        """The arguments to make this layer again, the wrapped model among them."""
        output = self.output_choice
        own = {
            "output": keras.saving.serialize_keras_object(output) if callable(output) else output,
            "wrt": list(self.wrt) if isinstance(self.wrt, tuple) else self.wrt,
            "columns": None if self.columns is None else list(self.columns),
            "engine": self.engine,
        }
        config = {**super().get_config(), **own}
        # Saving, Keras marks both configs of an object that it meets twice, so that loading makes
        # it once; later than here it keeps copies, and would not reach this one.
        keras.saving.serialize_keras_object(self.layer)
        return config

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> DerivativeWrapper:
        """Makes a layer from `get_config`'s answer."""
        if isinstance(config["output"], dict):
            output = keras.saving.deserialize_keras_object(
                config["output"], custom_objects=custom_objects
            )
            config = {**config, "output": output}
        return super().from_config(dict(config), custom_objects)

    def _options(self) -> Options:
        """Float32 or better, whatever the policy; and the whole batch at once.

        What is trained through keeps its intermediate results anyway: a loop over chunks would
        save no memory.
        """
        dtype = "float64" if self.compute_dtype == "float64" else None
        return Options(
            self.output_choice, self.wrt, self.engine, dtype, WHOLE, columns=self.columns
        )

    def _known(self, inputs: Structure, open_size: int = MADE_UP[0]) -> BoundModel:
        """The traced model, from nothing but the shapes and dtypes of the inputs.

        It is evaluated on a made-up batch, so that a model whose examples influence each other
        is told of here and not never: in a compiled training step there is nothing to look at.
        """
        with outside():
            made_up = keras.tree.map_structure(lambda t: self._made_up(t, open_size), inputs)
            try:
                return bind(self.layer, made_up, self._options(), in_float64=False)
            except REFUSALS as error:
                if not has_open_axes(inputs):
                    raise
                raise ValueError(
                    f"{type(self).__name__} failed with {open_size} for each open axis of its "
                    "inputs, as is tried before there are data. If other sizes work, give them to "
                    f"`keras.Input`. It says: {error}"
                ) from error

    def _made_up(self, tensor: Any, open_size: int) -> Tensor:
        if None in tensor.shape[1:] and not isinstance(tensor, keras.KerasTensor):
            raise ValueError(
                f"The data of {type(self).__name__} must have known sizes after the batch axis in "
                f"a compiled step. Received: shape {tuple(tensor.shape)}. Pad them to one size, or "
                "compile the model with `run_eagerly=True`."
            )

        given = tensor.shape[0]
        examples = self._batch or (isinstance(given, int) and given) or EXAMPLES

        def shape_of(given: Any) -> list[int]:
            return [examples, *(size or open_size for size in given.shape[1:])]

        mask = mask_of(tensor)
        if mask is not None:  # everything is there
            mask = keras.ops.ones(shape_of(mask), "bool")
        numbers = np.zeros(shape_of(tensor))  # a token id that every embedding has
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if "float" in dtype:
            numbers = np.random.default_rng(0).normal(size=numbers.shape)
        return masked(keras.ops.convert_to_tensor(numbers, dtype), mask)

    @property
    def _batch(self) -> int | None:
        """How many examples the wrapped model says that it takes at a time."""
        declared = (tensor.shape[0] for tensor in getattr(self.layer, "inputs", None) or [])
        return next((count for count in declared if count is not None), None)

    def _warn_of_rounding(self, inputs: Any) -> None:
        """Says once that points in float64 do not arrive."""
        if self in _looked_for_rounding or self.compute_dtype != "float64" or keeps_float64():
            return
        dtypes = [str(getattr(leaf, "dtype", "")) for leaf in keras.tree.flatten(inputs)]
        if "float64" not in dtypes:
            return
        _looked_for_rounding.add(self)
        warnings.warn(
            f"{type(self).__name__} {self.name!r} computes in float64, but at points in float32: "
            "with x64 off JAX rounds what is float64 before it is given to a layer, by 6e-8 of "
            "its size. Results say float64 and are exact there, not at your points. Switch it on "
            'before any layer is made, `jax.config.update("jax_enable_x64", True)`, or take the '
            'functions: `keras_curvature.derivatives(..., dtype="float64")`.',
            stacklevel=3,
        )

    def _warn_of_lines(self, inputs: Structure, instead: str) -> None:
        """Says once why second derivatives of straight pieces train nothing."""
        if self in _looked_for_lines or self.engine == FINITE_DIFFERENCE:
            return
        _looked_for_lines.add(self)
        with outside():
            bound = self._known(inputs)
            with computing_in(bound.f.dtype):
                z, rest = bound.f.point(bound.inputs.leaves)
                if rest or not _is_piecewise_linear(bound.f, z):
                    return
        warnings.warn(
            f"{type(self).__name__} {self.name!r} trains by second derivatives of "
            f"{self.layer.name!r}, which are 0 whatever its weights are: it is straight between "
            "kinks, like every network of ReLU. So they have no gradient with respect to the "
            "weights; where nothing else has, Keras says 'No gradients provided for any variable'. "
            f"{instead}",
            stacklevel=2,
        )

    def _warn_of_noise(self, inputs: Structure) -> None:
        """Says once what dropout in the wrapped model does not do."""
        if self in _looked_for_noise:
            return
        _looked_for_noise.add(self)
        where = random_in_training(self.layer, inputs, self._batch)
        if where is not None:
            warnings.warn(
                f"The layer {where!r} in {type(self).__name__} "
                f"{self.name!r} is random in training, which has no effect here: derivatives, and "
                "the value beside them, are of the model in inference mode. Take it out, and "
                "regularise with weight decay or `keras_curvature.CurvaturePenalty`.",
                stacklevel=2,
            )


def _is_piecewise_linear(f: FlatFunction, z: Tensor) -> bool:
    try:
        switches_of(f)(z)
    except Exception:  # an op that may curve, or one that training will tell of, or not
        return False
    return True


def _indexes(columns: Columns) -> tuple[int, ...] | None:
    """The columns that were asked for: a layer is given tensors, whose columns have no names."""
    checked = checked_columns(columns)
    return None if checked is None else by_index(checked, None)


def declared(layer: keras.Layer) -> tuple[Layout, Layout] | None:
    """The inputs and outputs that a model says it has, where it does and all sizes are known."""
    if not isinstance(layer, keras.Model) or not getattr(layer, "inputs", None):
        return None
    inputs, outputs = layer.inputs, layer.outputs
    if any(None in tensor.shape[1:] for tensor in (*inputs, *outputs)):
        return None
    structure = getattr(layer, "input", inputs)  # a Sequential has none
    names = keys_in_order(structure) or [tensor.name for tensor in inputs]
    return (
        side_by_side([tuple(tensor.shape[1:]) for tensor in inputs], structure, names),
        side_by_side([tuple(tensor.shape[1:]) for tensor in outputs], outputs),
    )


def has_open_axes(inputs: Structure) -> bool:
    """Whether a size after the batch axis is not known."""
    return any(None in tensor.shape[1:] for tensor in keras.tree.flatten(inputs))


def with_masks(inputs: Structure, masks: Structure | None) -> Structure:
    """The inputs with these masks, which may have been given apart from them."""
    if masks is None:
        return inputs
    return keras.tree.map_structure(
        lambda tensor, mask: tensor if mask is mask_of(tensor) else masked(tensor, mask),
        inputs,
        masks,
    )
