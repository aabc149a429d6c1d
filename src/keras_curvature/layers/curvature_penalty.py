"""A Keras layer that makes bending expensive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_curvature.engines import quantities
from keras_curvature.engines.api import BoundModel, bind, differentiate, mask_of, masked, xp
from keras_curvature.engines.backend import FlatFunction, computing_in
from keras_curvature.layers.penalty import Penalty
from keras_curvature.layers.wrapper import with_masks
from keras_curvature.measurement import windows
from keras_curvature.typing import Columns, Output, Structure, Tensor, Wrt


@keras.saving.register_keras_serializable(package="keras_curvature")
class CurvaturePenalty(Penalty):
    """Passes a Keras model's output on, and adds its mean squared curvature to the loss.

    The curvature at a point along a direction `v` of length 1 is `v^T H v`. In training, each
    example gets its own random directions, and

        strength * mean over examples, directions and outputs of (v^T H v)**2

    is added to the loss. Its expectation is `(2 |H|_F**2 + (tr H)**2) / (d (d + 2))` for a
    Hessian `H` in `d` inputs, so it is 0 only where the model is linear.

    Example:
        >>> import keras, numpy as np, keras_curvature as kc
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> net = keras.Sequential(
        ...     [keras.Input((1,)), keras.layers.Dense(8, "silu"), keras.layers.Dense(1)]
        ... )
        >>> model = keras.Sequential([keras.Input((1,)), kc.CurvaturePenalty(net, 1e-2)])
        >>> model.compile("adam", "mse", metrics=["mse"])
        >>> fit = model.fit(x, x**2, verbose=0)
        >>> fit.history["loss"][0] > fit.history["mse"][0]
        True

    The metric `curvature_penalty` is what was added; Keras's trainer on JAX leaves out the metrics
    of layers. Nothing is added, and nothing computed,
    outside training: `val_loss` is without the penalty, `val_curvature_penalty` is 0,
    `predict` and an exported model cost what the wrapped model costs.

    The penalty is of the model in inference mode (dropout off, moving statistics), the output
    is of the mode asked for. Curvature is in the units of the inputs: standardise them, or each
    counts by the square of its unit. Masks pass: penalty and output are those of the model with
    the mask of its input.

    Args:
        layer: a Keras model or layer.
        strength: the penalty's factor, at least 0.
        scale: `None` for the exact second derivative, which is 0 for a ReLU network; a number,
            or an array in the shape of one example, for the second difference `(f(x + s) -
            2 f(x) + f(x - s)) / |s|**2` along `s = scale * v`, which sees kinks; `"auto"` for a
            quarter of each input's standard deviation over the batch; one that is the same in
            all of the batch, beside others that are not, is not moved.
        directions: how many random directions for each example.
        seed: of the directions.
        output: whose curvature, as in `keras_curvature.derivatives`.
        wrt: with respect to what, as there.
        columns: by which columns of an input, as there, by their indexes.
        engine: as there.
        metric_name: what the metric is called; give each of several penalties its own.
        **kwargs: `name`, `trainable` and `dtype`, as for every Keras layer.

    Raises:
        ValueError: for a negative strength, a scale that is not positive, or a model that
            cannot be differentiated.
        TypeError: for an argument of a wrong type.
    """

    def __init__(
        self,
        layer: keras.Layer,
        strength: float,
        *,
        scale: Any = None,
        directions: int = 1,
        seed: int | None = None,
        output: Output = None,
        wrt: Wrt = None,
        columns: Columns = None,
        engine: str = "auto",
        metric_name: str = "curvature_penalty",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            layer,
            strength,
            output=output,
            wrt=wrt,
            columns=columns,
            engine=engine,
            metric_name=metric_name,
            **kwargs,
        )
        if not hasattr(directions, "__index__") or directions < 1:
            raise ValueError(
                f"`directions` must be an int of at least 1. Received: {directions!r}."
            )
        self.scale = scale
        self.directions = directions
        self.seed = seed
        self._random = keras.random.SeedGenerator(seed)

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None, mask: Any = None
    ) -> Any:
        """The shapes and dtypes of the wrapped model's output."""
        known = self._known(with_masks(inputs, mask))
        if self.scale is not None:  # raises now for what cannot be right
            windows.resolve(self.scale, known.f.inputs, lambda: windows.AUTO_FRACTION)
        return self.layer.compute_output_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        """The arguments to make this layer again."""
        plain = self.scale is None or isinstance(self.scale, str)
        scale = self.scale if plain else xp.to_numpy(self.scale).tolist()
        own = {"scale": scale, "directions": self.directions, "seed": self.seed}
        return {**super().get_config(), **own}

    def _amount(self, inputs: Structure) -> Tensor:
        """The mean squared curvature."""
        if self.scale is None:
            self._warn_of_lines(inputs, "Give `scale='auto'`, for differences, which see kinks.")
        x = keras.tree.map_structure(self._repeated, inputs)
        bound = bind(self.layer, x, self._options(), in_float64=False)
        with computing_in(bound.f.dtype):
            z, rest = bound.f.point(bound.inputs.leaves)
            v = xp.cast(self._drawn(keras.random.normal, xp.lengths(z)), z.dtype)
            v = v / xp.norm(v, axis=1, keepdims=True)
            if self.scale is None:
                curvature = self._exact(bound, x, v)
            else:
                curvature = self._at_scale(bound.f, z, rest, v)
            return xp.mean(xp.square(curvature))

    def _repeated(self, leaf: Tensor) -> Tensor:
        """Each example as often as it gets directions, and its mask too."""
        mask = mask_of(leaf)
        if mask is not None:
            mask = self._tiled(mask)
        return masked(self._tiled(leaf), mask)

    def _tiled(self, tensor: Tensor) -> Tensor:
        """The whole batch several times over, in which each example stays in its place."""
        return xp.tile(tensor, [self.directions, *[1] * (len(tensor.shape) - 1)])

    def _exact(self, bound: BoundModel, x: Structure, v: Tensor) -> Tensor:
        """The second derivative along `v`, `(batch, outputs)`."""
        name = quantities.DIRECTIONAL
        direction = bound.f.inputs.pack(bound.f.inputs.split(v))
        found = differentiate(self.layer, x, {name: name}, direction, self._options())[name]
        return bound.f.outputs.join(keras.tree.flatten(found))

    def _at_scale(self, f: FlatFunction, z: Tensor, rest: Sequence[Tensor], v: Tensor) -> Tensor:
        """The second difference along `v`, `(batch, outputs)`."""
        h = windows.resolve(self.scale, f.inputs, lambda: windows.moved(z))
        step = xp.cast(h, z.dtype) * v
        behind, here, ahead = f(z - step, rest), f(z, rest), f(z + step, rest)
        change = windows.second_difference(behind, here, ahead)
        return change / xp.sum(xp.square(step), axis=1, keepdims=True)
