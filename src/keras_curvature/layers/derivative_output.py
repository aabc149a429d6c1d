"""A Keras layer that outputs the derivatives of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_curvature.engines import quantities
from keras_curvature.engines.api import (
    Asked,
    differentiate,
    mask_of,
    masked,
    requested,
    resolved,
    selector,
    unflattened_shapes,
    xp,
)
from keras_curvature.engines.backend import is_eager, not_converted
from keras_curvature.layers.wrapper import (
    MADE_UP,
    DerivativeWrapper,
    declared,
    has_open_axes,
    with_masks,
)
from keras_curvature.typing import Columns, Names, Output, Structure, Wrt

WITHOUT_MASK = frozenset(
    {
        quantities.JACOBIAN,
        quantities.HESSIAN,
        quantities.DIAGONAL,
        quantities.PRODUCT,
        quantities.DIVERGENCE,
    }
)
"""What has other axes than the output, whose mask Keras's losses would weigh it by wrongly."""

FIRST_ORDER = frozenset({quantities.VALUE, quantities.JACOBIAN, quantities.DIVERGENCE})

SMOOTH = (
    "Take a smooth activation, 'silu' or 'gelu', or `keras_curvature.smooth(net)`, which makes one "
    "like it with smooth ones."
)


@keras.saving.register_keras_serializable(package="keras_curvature")
class DerivativeOutput(DerivativeWrapper):
    """Outputs the value and the derivatives of a Keras model, and trains through them.

    Example:
        A network that learns from values and slopes (differential machine learning, Sobolev
        training):

        >>> import keras, numpy as np, keras_curvature as kc
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> net = keras.Sequential(
        ...     [keras.Input((1,)), keras.layers.Dense(8, "silu"), keras.layers.Dense(1)]
        ... )
        >>> inputs = keras.Input((1,))
        >>> model = keras.Model(inputs, kc.DerivativeOutput(net, ["value", "jacobian"])(inputs))
        >>> losses = {"value": "mse", "jacobian": "mse"}
        >>> model.compile("adam", losses, loss_weights={"value": 1, "jacobian": 0.1})
        >>> fit = model.fit(x, {"value": x**2, "jacobian": 2 * x[:, None]}, verbose=0)
        >>> sorted(fit.history)
        ['jacobian_loss', 'loss', 'value_loss']
        >>> net.predict(x, verbose=0).shape  # the network by itself is trained too
        (64, 1)

    **Training and inference are the same.** Everything that this layer outputs, the value too,
    is of the wrapped model in inference mode, also while it trains, so that value and
    derivatives belong to one function, and to the one that is used afterwards.
    `BatchNormalization` uses its moving statistics, which training keeps up to date: with the
    statistics of the batch an output would depend on all examples, and have no derivative per
    example. `Dropout` and other noise has no effect, and a warning says so: each pass of a
    second derivative would draw another mask, and a loss of squared derivatives would be biased
    by their variance. A model whose examples influence each other in inference too raises a
    warning.

    Derivatives are float32 or better: a model of `mixed_float16` is evaluated in float32, as
    second derivatives overflow float16. `dtype="float64"` evaluates any model in float64.

    The wrapped model's weights, regularisers and state are this layer's. As in plain nesting,
    what the wrapped model was compiled with has no effect.

    **Sizes may be open before there are data**, as in `keras.Input((None, 3))`. In a compiled step
    they must be known: Keras compiles for the size of the first batches, and for open sizes if
    others follow.

    **Masks pass.** The model is called, and differentiated, with the mask that an `Embedding` or
    `Masking` before this layer hung on its input, or that is given as `mask`. `"value"`,
    `"laplacian"` and `"directional_curvature"` carry the mask of the model's output on, so that
    their losses leave out the time steps that are not there. The other derivatives have more
    axes than a mask in Keras has, and carry none.

    **Labels need the shape of what they are compared with.** `"jacobian"` of a model from `(n, 2)`
    to `(n, 1)` is `(n, 1, 2)`. Keras's losses broadcast: labels `(n, 2)` are set against it as
    `(1, n, 2)`, every example against every other, and nothing says so. Write `slopes[:, None, :]`.

    **A network that is straight between kinks** (ReLU, LeakyReLU, no activation) has second
    derivatives of 0, whatever its weights are, so that they train nothing. A warning says so once.

    **Copies.** `keras.models.clone_model` copies each layer by itself, as it does with all of
    Keras's wrappers: two layers that share a network have two in the copy. Saving and loading keeps
    it one.

    **Nested outputs.** With several inputs or outputs some of what this layer outputs is nested.
    Keras trains and saves that, but exports only one tensor, a list or a dict of tensors as a
    SavedModel, whatever the layer: name the tensors flat before `model.export`, with
    `keras.Model(inputs, {"value_first": outputs["value"]["first"], ...})`.

    Args:
        layer: a Keras model or layer from `x` to `y`.
        names: the derivatives, of the table in `keras_curvature.derivatives`: a list gives a
            dict, one name alone gives what it names. Or a dict from names of your own to these
            and to partial derivatives, as there: the terms of an equation.
        output: which output to differentiate, as there.
        wrt: with respect to what, as there.
        columns: by which columns of an input, as there, by their indexes.
        engine: as there.
        **kwargs: `name`, `trainable` and `dtype`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, *input_shape)`, or the structure that the model takes.
        v: the direction, for `"directional_curvature"` and `"hessian_vector_product"`.
        mask: in the structure of `inputs`, if it does not hang on them.

    Raises:
        ValueError: for an unknown name, output, input or layer, or a model that cannot be
            differentiated.
        TypeError: for an integer input without `wrt`.
    """

    def __init__(
        self,
        layer: keras.Layer,
        names: Names,
        *,
        output: Output = None,
        wrt: Wrt = None,
        columns: Columns = None,
        engine: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(layer, output=output, wrt=wrt, columns=columns, engine=engine, **kwargs)
        asked = requested(names)
        known = declared(layer) if wrt is None and columns is None else None
        if known is not None:
            inputs, outputs = known
            # Raises now for an input that there is not.
            resolved(asked, inputs, outputs if output is None else None)
        self.names: Any = names
        if not isinstance(names, str):
            self.names = dict(asked) if isinstance(names, Mapping) else tuple(asked)

    @not_converted
    def call(
        self,
        inputs: Structure,
        v: Structure | None = None,
        training: bool | None = None,
        mask: Structure | None = None,
    ) -> Any:
        """Computes the derivatives."""
        inputs = with_masks(inputs, mask)
        if not is_eager():
            self._known(inputs)
        if training:
            self._warn_of_noise(inputs)
            if any(map(_is_of_higher_order, self._asked.values())):
                self._warn_of_lines(inputs, SMOOTH)
        found = differentiate(self.layer, inputs, self._asked, v, self._options())
        # What Keras gathers from a call besides its output: activity losses, masks, and what
        # training updates. A compiled graph leaves out all else of it.
        masks = self._masks(self.layer(inputs, training=training))
        for name, what in self._asked.items() if masks is not None else ():
            if what not in WITHOUT_MASK:
                found[name] = keras.tree.map_structure(masked, found[name], masks)
        return self._chosen(found)

    def compute_output_spec(
        self, inputs: Any, v: Any = None, training: bool | None = None, mask: Any = None
    ) -> Any:
        """The shapes and dtypes of the derivatives."""
        inputs = with_masks(inputs, mask)
        sizes = MADE_UP[: 1 + has_open_axes(inputs)]
        found = [self._specs(inputs, size) for size in sizes]
        return self._chosen(keras.tree.map_structure(_common, *found))

    def _specs(self, inputs: Any, open_size: int) -> dict[str, Any]:
        bound = self._known(inputs, open_size)
        batch = keras.tree.flatten(inputs)[0].shape[0]

        def spec(shape: Any) -> keras.KerasTensor:
            return keras.KerasTensor((batch, *shape.sizes), xp.name_of(bound.result_dtype))

        return {
            name: keras.tree.map_structure(spec, unflattened_shapes(*bound.layouts(quantity)))
            for name, quantity in bound.quantities_of(self._asked).items()
        }

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shapes of the derivatives."""
        inputs = keras.tree.map_shape_structure(keras.KerasTensor, input_shape)
        return keras.tree.map_structure(lambda t: t.shape, self.compute_output_spec(inputs))

    def get_config(self) -> dict[str, Any]:
        """The arguments to make this layer again."""
        names = self.names if isinstance(self.names, str) else _written(self.names)
        return {**super().get_config(), "names": names}

    def _masks(self, outputs: Any) -> Any:
        """The masks on the chosen part of the wrapped model's output, `None` if there is none."""
        leaves = keras.tree.flatten(outputs)
        if all(mask_of(leaf) is None for leaf in leaves):
            return None
        if isinstance(self.output_choice, int) and len(leaves) == 1:
            mask = mask_of(leaves[0])  # an entry on the last axis is there where the whole is
            if len(mask.shape) < len(leaves[0].shape):
                return mask
        return keras.tree.map_structure(mask_of, selector(self.layer, self.output_choice)(outputs))

    @property
    def _asked(self) -> dict[str, Asked]:
        """What each of its outputs is."""
        return requested(self.names)

    def _chosen(self, found: dict[str, Any]) -> Any:
        return found[self.names] if isinstance(self.names, str) else found


def _is_of_higher_order(asked: Asked) -> bool:
    """Whether it is 0 where a network is straight between kinks."""
    return asked not in FIRST_ORDER if isinstance(asked, str) else len(asked) > 1


def _written(names: Sequence[str] | Mapping[str, Asked]) -> list[str] | dict[str, Any]:
    """What was asked for, as a file keeps it."""
    if not isinstance(names, Mapping):
        return list(names)
    return {
        name: what
        if isinstance(what, str)
        else [list(part) if isinstance(part, tuple) else part for part in what]
        for name, what in names.items()
    }


def _common(*tensors: keras.KerasTensor) -> keras.KerasTensor:
    """What these have in common: axes of different sizes are open."""
    sizes = (set(axis) for axis in zip(*(tensor.shape for tensor in tensors), strict=True))
    shape = tuple(axis.pop() if len(axis) == 1 else None for axis in sizes)
    return keras.KerasTensor(shape, tensors[0].dtype)
