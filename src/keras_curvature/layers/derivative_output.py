"""A Keras layer that outputs the derivatives of a model."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_curvature.engines import quantities
from keras_curvature.engines.api import (
    Asked,
    differentiate,
    differentiate_in_part,
    mask_of,
    masked,
    requested,
    resolved,
    selector,
    unflattened_shapes,
    xp,
)
from keras_curvature.engines.backend import is_eager, not_converted
from keras_curvature.layers.random_directions import (
    RandomDirections,
    checked_directions,
    counts_of,
    squared_error,
)
from keras_curvature.layers.wrapper import (
    MADE_UP,
    DerivativeWrapper,
    declared,
    has_open_axes,
    with_masks,
)
from keras_curvature.typing import Columns, Names, Output, Structure, Tensor, Wrt

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

EXPENSIVE = frozenset({quantities.JACOBIAN, quantities.HESSIAN, quantities.DIAGONAL})
"""What has an entry for every input, which random directions cannot give for less."""

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
    second derivatives overflow float16. `dtype="float64"` evaluates any model in float64, at the
    points that Keras hands it: on JAX with x64 off these are rounded to float32, and a warning says
    so.

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

    **In hundreds of inputs and more** `directions=16` estimates `"laplacian"`, `"divergence"` and
    `"biharmonic"` from so many random directions: new ones at every step of training, the same ones
    at each step of `evaluate` and `predict`. An estimate is right on average; Keras's log has the
    root mean square of its standard error, as `<layer>_<name>_standard_error` (on JAX at the end of
    an epoch). Up to 64 inputs every example has directions of its own. Beyond, a batch shares them,
    so that they go through the first layer once: an error of the gradient averages out over a batch
    as well there. A mean squared error of an estimate has its variance in it; `halves=True` and
    `keras_curvature.losses.UnbiasedSquare` leave it out, see there. `MoreDirections` raises the
    number while the standard error hides the residual.

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
        directions: from how many random directions to estimate; `None` for exact derivatives. A
            warning says where these take fewer: as many as inputs, squared for `"biharmonic"`.
        seed: of the directions, which `keras.utils.set_random_seed` settles too.
        halves: whether what is estimated has a last axis of two independent estimates, each from
            half of the directions, and every other output one of size 1.
        **kwargs: `name`, `trainable` and `dtype`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, *input_shape)`, or the structure that the model takes.
        v: the direction, for `"directional_curvature"` and `"hessian_vector_product"`.
        mask: in the structure of `inputs`, if it does not hang on them.

    Raises:
        ValueError: for an unknown name, output, input or layer, a model that cannot be
            differentiated, and `directions` beside what they cannot make cheaper.
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
        directions: int | None = None,
        seed: int | None = None,
        halves: bool = False,
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
        self.seed, self.halves = seed, bool(halves)
        self._directions = checked_directions(directions, self.halves)
        self._random: RandomDirections | None = None
        if directions is not None:
            self._random = RandomDirections(estimable(asked), self.name, seed)

    @property
    def directions(self) -> int | None:
        """From how many random directions it estimates.

        What Keras has compiled keeps the number that it was compiled for.
        """
        return self._directions

    @directions.setter
    def directions(self, directions: int) -> None:
        if self._directions is None or directions is None:
            raise ValueError(
                "Only a layer made with `directions` has any, another number of which can be set. "
                f"Received: {directions!r}, with {self._directions!r} before."
            )
        self._directions = checked_directions(directions, self.halves)

    @property
    def standard_errors(self) -> tuple[str, ...]:
        """The names in Keras's logs of the standard errors of what it estimates."""
        return () if self._random is None else self._random.keys

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
        found = self._found(inputs, v, training)
        # What Keras gathers from a call besides its output: activity losses, masks, and what
        # training updates. A compiled graph leaves out all else of it.
        masks = self._masks(self.layer(inputs, training=training))
        for name, what in self._asked.items() if masks is not None else ():
            if what not in WITHOUT_MASK:
                found[name] = keras.tree.map_structure(masked, found[name], masks)
        return self._chosen(found)

    def _found(self, inputs: Structure, v: Structure | None, training: bool | None) -> Any:
        """The derivatives, exact or estimated, by the user's names."""
        if self._random is None or self._directions is None:
            return differentiate(self.layer, inputs, self._asked, v, self._options())
        counts = counts_of(self._directions)
        draw = functools.partial(self._random.draw, bool(training))
        exact, estimates, apart = differentiate_in_part(
            self.layer, inputs, self._asked, v, self._options(), counts, draw
        )
        self._random.note({name: squared_error(far, counts) for name, far in apart.items()})
        if self.halves:
            exact = keras.tree.map_structure(lambda one: one[..., None], exact)
        found = {name: self._joined(parts, counts) for name, parts in estimates.items()}
        return {name: (exact | found)[name] for name in self._asked}

    def _joined(self, parts: list[Any], counts: Sequence[int]) -> Any:
        """Two estimates as one, or beside each other."""

        def joined(*parts: Tensor) -> Tensor:
            if self.halves:
                return xp.stack(parts, axis=-1)
            weighted = [count * part for count, part in zip(counts, parts, strict=True)]
            return sum(weighted) / sum(counts)

        return keras.tree.map_structure(joined, *parts)

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

        def spec(shape: Any, last: tuple[int, ...]) -> keras.KerasTensor:
            return keras.KerasTensor((batch, *shape.sizes, *last), xp.name_of(bound.result_dtype))

        return {
            name: keras.tree.map_structure(
                functools.partial(spec, last=self._last_axis(quantity)),
                unflattened_shapes(*bound.layouts(quantity)),
            )
            for name, quantity in bound.quantities_of(self._asked).items()
        }

    def _last_axis(self, quantity: str) -> tuple[int, ...]:
        """The size of the axis of the halves, if there is one."""
        return (2 if quantity in quantities.ESTIMATED else 1,) if self.halves else ()

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shapes of the derivatives."""
        inputs = keras.tree.map_shape_structure(keras.KerasTensor, input_shape)
        return keras.tree.map_structure(lambda t: t.shape, self.compute_output_spec(inputs))

    def get_config(self) -> dict[str, Any]:
        """The arguments to make this layer again."""
        names = self.names if isinstance(self.names, str) else _written(self.names)
        estimating = {"directions": self.directions, "seed": self.seed, "halves": self.halves}
        return {**super().get_config(), "names": names, **estimating}

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


def estimable(asked: Mapping[str, Asked]) -> list[str]:
    """The names of what random directions estimate.

    Raises:
        ValueError: for what is exact only and costs what the directions are to save, and where
            there is nothing to estimate.
    """
    found = [name for name, what in asked.items() if what in quantities.ESTIMATED]
    dear = [name for name, what in asked.items() if what in EXPENSIVE]
    if dear or not found:
        raise ValueError(
            f"`directions` estimates {sorted(quantities.ESTIMATED)}; beside these 'value', partial "
            "derivatives and what is along a direction `v` are exact. Received: "
            + (f"{dear}, of every input." if dear else f"{list(asked)}, nothing to estimate.")
            + " Leave `directions` out, or put it into a layer of its own."
        )
    return found


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
