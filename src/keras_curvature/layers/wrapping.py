"""What the layers of this library share: a wrapped Keras model whose derivatives they take."""

from __future__ import annotations

import warnings
import weakref
from typing import Any

import keras
import tensorflow as tf

from keras_curvature.engines.audit import layer_of
from keras_curvature.engines.chunks import WHOLE
from keras_curvature.engines.evaluation import Options, Problem, pose
from keras_curvature.engines.inputs import declared_inputs
from keras_curvature.engines.masks import mask_of, masked
from keras_curvature.engines.tracing import trace
from keras_curvature.typing import Output, Structure, Wrt

EXAMPLES = 4
"""Examples in the made-up batch on which a model is traced before there are data."""


_looked_for_noise: weakref.WeakSet[keras.Layer] = weakref.WeakSet()


class DerivativeWrapper(keras.layers.Wrapper):
    """A wrapped model, in inference mode, as a function to be differentiated.

    Args:
        layer: a Keras model or layer.
        output: which output to differentiate, as in `keras_curvature.derivatives`.
        wrt: with respect to what, as there.
        engine: as there.
        **kwargs: `name`, `trainable` and `dtype` as for every Keras layer.
    """

    def __init__(
        self,
        layer: keras.Layer,
        *,
        output: Output = None,
        wrt: Wrt = None,
        engine: str = "auto",
        **kwargs: Any,
    ) -> None:
        # The input is not cast to float16: the wrapped model says what it takes.
        super().__init__(layer, autocast=False, **kwargs)
        self.output_choice = output
        self.wrt = wrt
        self.engine = engine
        self._options()  # raises now for what cannot be right
        if not self.trainable:
            layer.trainable = False  # Keras's own wrappers go on training theirs

    def build(self, input_shape: Any) -> None:
        """Builds the wrapped model by calling it, as only that builds every kind of model."""
        if not self.layer.built:
            self.layer(keras.tree.map_shape_structure(keras.KerasTensor, input_shape))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """None besides those that the wrapped model's own layers hang on its output.

        That it is here at all tells Keras that masks pass.
        """

    def get_config(self) -> dict[str, Any]:
        """The arguments to make this layer again, the wrapped model among them."""
        output = self.output_choice
        own = {
            "output": keras.saving.serialize_keras_object(output) if callable(output) else output,
            "wrt": self.wrt,
            "engine": self.engine,
        }
        return {**super().get_config(), **own}

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
        return Options(self.output_choice, self.wrt, self.engine, dtype, WHOLE)

    def _known(self, inputs: Structure) -> Problem:
        """The traced model, from nothing but the shapes and dtypes of the inputs.

        It is evaluated on a made-up batch, so that a model whose examples influence each other
        is told of here and not never: in a compiled training step there is nothing to look at.
        """
        with tf.init_scope():
            made_up = keras.tree.map_structure(self._made_up, inputs)
            return pose(self.layer, made_up, self._options(), in_float64=False)

    def _made_up(self, tensor: Any) -> tf.Tensor:
        mask = mask_of(tensor)
        numbers = self._numbers(tensor)
        if mask is not None:  # everything is there
            mask = tf.ones([numbers.shape[0], *mask.shape[1:]], mask.dtype)
        return masked(numbers, mask)

    def _numbers(self, tensor: Any) -> tf.Tensor:
        shape = [self._batch or tensor.shape[0] or EXAMPLES, *tensor.shape[1:]]
        if None in shape:
            raise ValueError(
                f"{type(self).__name__} needs inputs of known sizes after the batch axis. "
                f"Received: shape {tuple(tensor.shape)}."
            )
        dtype = tf.as_dtype(tensor.dtype)
        if not dtype.is_floating:
            return tf.zeros(shape, dtype)  # a token id that every embedding has
        return tf.cast(tf.random.stateless_normal(shape, seed=[0, 0]), dtype)

    @property
    def _batch(self) -> int | None:
        """How many examples the wrapped model says that it takes at a time."""
        declared = (tensor.shape[0] for tensor in declared_inputs(self.layer))
        return next((count for count in declared if count is not None), None)

    def _warn_of_noise(self, inputs: Structure) -> None:
        """Says once what dropout in the wrapped model does not do."""
        if self in _looked_for_noise:
            return
        _looked_for_noise.add(self)
        leaves = keras.tree.flatten(inputs)
        specs = [tf.TensorSpec([self._batch, *t.shape[1:]], t.dtype) for t in leaves]
        training = trace(self.layer, specs, inputs, lambda outputs: outputs, training=True)
        noisy = [op.name for op in training.graph.get_operations() if "Random" in op.type]
        if noisy:
            layers = [layer.name for layer in self.layer._flatten_layers()]
            where = layer_of(noisy[0], layers, training.scopes)
            warnings.warn(
                f"The layer {where!r} in {type(self).__name__} "
                f"{self.name!r} is random in training, which has no effect here: derivatives, and "
                "the value beside them, are of the model in inference mode. Take it out, and "
                "regularise with weight decay or `keras_curvature.CurvaturePenalty`.",
                stacklevel=2,
            )


def with_masks(inputs: Structure, masks: Structure | None) -> Structure:
    """The inputs with these masks, which may have been given apart from them."""
    if masks is None:
        return inputs
    return keras.tree.map_structure(
        lambda tensor, mask: tensor if mask is mask_of(tensor) else masked(tensor, mask),
        inputs,
        masks,
    )
