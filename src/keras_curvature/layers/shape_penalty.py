"""A Keras layer that makes it expensive to break a shape."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.api import WHOLE, BoundModel, bind, numbers_in, run_chunked, xp
from keras_curvature.engines.backend import FlatFunction, computing_in, is_eager, tiled
from keras_curvature.engines.quantities import CURVATURE, DIRECTIONAL, SLOPE, VALUE
from keras_curvature.layers.epoch_begin import EpochBegin
from keras_curvature.layers.penalty import Penalty
from keras_curvature.layers.wrapper import with_masks
from keras_curvature.measurement import shape as shapes
from keras_curvature.measurement import windows
from keras_curvature.measurement.probe import Names, feature_names
from keras_curvature.typing import Array, Columns, Output, Shape, Structure, Tensor, Wrt

MARGIN = 0.02
"""How far on the right side a derivative has to be, as a share of its root mean square.

A violation that ends at 0 in training is as often on the wrong side as on the right one
afterwards. On forty noisy prices of calls a fiftieth was enough, and cost no accuracy.
"""

ROUNDING, FEWEST = 1e-3, 16
"""Relative error of what float32 remembers of the data, and examples from which two values are
two values."""

DERIVATIVES = (SLOPE, CURVATURE, windows.RISE, windows.BEND)


@keras.saving.register_keras_serializable(package="keras_curvature")
class ShapePenalty(Penalty):
    """Passes a Keras model's output on, and adds to the loss how far it is from a shape.

    Example:
        >>> import keras, numpy as np, keras_curvature as kc
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> net = keras.Sequential(
        ...     [keras.Input((1,)), keras.layers.Dense(8, "silu"), keras.layers.Dense(1)]
        ... )
        >>> inputs = keras.Input((1,))
        >>> model = keras.Model(inputs, kc.ShapePenalty(net, {0: ("convex", "increasing")})(inputs))
        >>> model.compile("adam", "mse")
        >>> fit = model.fit(x, np.exp(x), verbose=0)
        >>> net(x).shape == x.shape
        True

    In training, for each entry of `shape`,

        strength * mean of (v**2 + s * v)

    is added to the loss. The violation `v` is how far the derivative along the input is on the
    wrong side, at a point or over the window around it, whichever is further: kinks count, as in
    `CurvatureMonitor(shape=...)`. The mean is over the outputs and over the examples of the batch,
    each twice: as it is, and with the named inputs drawn anew, anywhere in the range that they have
    had in training so far. So the shape holds between the data too. With `points` a third part is
    drawn from these.

    **It is free of scale.** `v` is per standard deviation of the input, of all data seen in
    training so far, and `s` is the standard deviation of the output at these points, as a constant.
    Both terms are in the units of a squared error, so that a strength of 1 is felt whatever the
    units of x and y; for a loss in other units, choose one. The linear term makes the shape hold in
    the end, and not only nearly: for that `v` begins a little before 0, at a fiftieth of the
    derivative's root mean square.

    The metric `shape_penalty` is what was added; Keras's trainer on JAX leaves out the metrics of
    layers. Nothing is added, and nothing computed, outside training: `val_loss` is without the
    penalty, and `predict` costs what the wrapped model costs. The penalty is of the model in
    inference mode (dropout off, moving statistics), the output is of the mode asked for. Masks
    pass. Whether the shape holds, `CurvatureMonitor(shape=...)` says.

    Along a column of two values, 0 and 1 say, nothing bends: ask for `"increasing"` or
    `"decreasing"` there. Where a bend is asked for, it warns after the first epoch.

    Args:
        layer: a Keras model or layer.
        shape: as in `CurvatureMonitor`: words by name or index of an input, `"convex"`,
            `"concave"`, `"increasing"`, `"decreasing"`, `"linear"`, or several in a tuple.
        strength: the penalty's factor, at least 0.
        scale: half-width of the window in units of the inputs, as in `CurvatureMonitor`; `"auto"`
            for a quarter of each input's standard deviation.
        feature_names: names of the inputs for `shape`, as there. Default: their own, or x0, x1, ….
        points: places to look at besides, as the model takes them: as many of these as the batch
            has examples are drawn at each step. Where a `Proof` failed:
            `points=proof.open_points(1000)`.
        seed: of what is drawn.
        output: whose shape, as in `keras_curvature.derivatives`.
        wrt: along what, as there.
        columns: along which columns of an input, as there, by their indexes; `shape` counts these.
        engine: as there.
        metric_name: what the metric is called; give each of several penalties its own.
        **kwargs: `name`, `trainable` and `dtype`, as for every Keras layer.

    Raises:
        ValueError: for an input that is not there, an unknown word, a negative strength, a scale
            that is not positive, or a model that cannot be differentiated.
        TypeError: for an argument of a wrong type.
    """

    def __init__(
        self,
        layer: keras.Layer,
        shape: Shape,
        strength: float = 1.0,
        *,
        scale: Any = "auto",
        feature_names: Names | None = None,
        points: Structure | None = None,
        seed: int | None = None,
        output: Output = None,
        wrt: Wrt = None,
        columns: Columns = None,
        engine: str = "auto",
        metric_name: str = "shape_penalty",
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
        self.shape = shapes.checked_shape(shape)
        self.scale = scale
        self.feature_names = feature_names
        self.points = _checked_points(points)
        self.seed = seed
        self._random = keras.random.SeedGenerator(seed)
        self._asked: tuple[shapes.Condition, ...] = ()
        self._data = EpochBegin(f"{metric_name}_data", self._look_at_data)

    @property
    def metrics(self) -> list[Any]:
        """The mean penalty of an epoch, where Keras lets a layer keep it; a look at the data."""
        return [one for one in super().metrics if one is not self._data] + [self._data]

    def build(self, input_shape: Any) -> None:
        """Makes what is remembered of the data: number, mean, variance and ends of each input."""
        super().build(input_shape)
        size = (5, len(self.shape))
        # Over several devices, of which each sees a part.
        self._seen = self.add_weight(
            size, initializer="zeros", trainable=False, aggregation="mean", name="seen"
        )

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None, mask: Any = None
    ) -> Any:
        """The shapes and dtypes of the wrapped model's output."""
        f = self._known(with_masks(inputs, mask)).f
        self._conditions(f)  # raises now for what cannot be right
        self._flat_points(f)
        windows.resolve(self.scale, f.inputs, lambda: windows.AUTO_FRACTION)
        return self.layer.compute_output_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        """The arguments to make this layer again."""
        scale, names = self.scale, self.feature_names
        own = {
            # JSON has no keys that are numbers.
            "shape": [[name, list(words)] for name, words in self.shape.items()],
            "scale": scale if isinstance(scale, str) else xp.to_numpy(scale).tolist(),
            "feature_names": names if isinstance(names, Mapping | None) else list(names),
            "points": keras.saving.serialize_keras_object(self.points),
            "seed": self.seed,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> ShapePenalty:
        """Makes a layer from `get_config`'s answer."""
        points = keras.saving.deserialize_keras_object(config.get("points"))
        read = {"shape": dict(config["shape"]), "points": points}
        return super().from_config({**config, **read}, custom_objects)

    def _conditions(self, f: FlatFunction) -> tuple[shapes.Condition, ...]:
        names = feature_names(self.feature_names, None, f.inputs)
        return shapes.conditions(self.shape, names, f.inputs)

    def _flat_points(self, f: FlatFunction) -> Array | None:
        """The points that were given, `(k, width)`.

        Raises:
            ValueError: if they do not fit the model.
        """
        if self.points is None:
            return None
        leaves = f.inputs.in_order(self.points, "`points`")
        shapes = [leaf.shape for leaf in leaves]
        counts = {shape[:1] for shape in shapes}
        if len(counts) != 1 or [shape[1:] for shape in shapes] != list(f.inputs.shapes):
            raise ValueError(
                f"`points` must be points as the model takes them, of shapes "
                f"{[('k', *shape) for shape in f.inputs.shapes]}, k at least 1. Received: {shapes}."
            )
        return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)

    def _amount(self, inputs: Structure) -> Tensor:
        """The mean of the violations, in sum over what is asked."""
        bound = bind(self.layer, inputs, self._options())
        asked = self._conditions(bound.f)
        axes = list(dict.fromkeys(condition.index for condition in asked))
        self._asked = asked
        with computing_in(bound.f.dtype):
            found, seen = self._derivatives(bound, axes)
            spread = xp.stop_gradient(xp.std(found[VALUE], axis=0))
            violations = [
                _violation(condition, {key: found[key][..., k] for key in DERIVATIVES})
                for condition in asked
                for k in [axes.index(condition.index)]
            ]
            amount = sum(xp.mean(v**2 + spread * v) for v in violations)
        self._seen.assign(seen)
        return amount

    def _look_at_data(self) -> None:
        """Warns, once, of a bend that is asked for along an input which has had two values only."""
        if not self._asked or not is_eager():
            return
        asked, self._asked = self._asked, ()
        seen = keras.ops.convert_to_numpy(self._seen.value).T
        axes = list(dict.fromkeys(condition.index for condition in asked))
        for condition in asked:
            count, mean, variance, low, high = seen[axes.index(condition.index)].tolist()
            # No variable in this range with this mean has a larger variance than one that is
            # always at the ends (Bhatia, Davis, A better bound on the variance, 2000).
            two = variance > (1 - ROUNDING) * (mean - low) * (high - mean) > 0
            if two and condition.order == 2 and count >= FEWEST:
                warnings.warn(
                    f"`shape` of {type(self).__name__} {self.name!r} asks for {condition.word!r} "
                    f"along {condition.input!r}, which has been {low:.6g} or {high:.6g} in all "
                    "data so far: between two values nothing bends, and no data are there. Ask for "
                    "'increasing' or 'decreasing', or leave it out.",
                    stacklevel=2,
                )

    def _derivatives(
        self, bound: BoundModel, axes: Sequence[int]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Along these inputs, of the batch, as many points drawn and, if asked, as many given.

        And what has been seen of the inputs, this batch too.
        """
        f, leaves, k = bound.f, bound.inputs.leaves, len(axes)
        engine = bound.engine_for((DIRECTIONAL,))
        z, _ = f.point(leaves)
        seen, spread, low, high = self._look(xp.take(z, axes, axis=1))
        axis = xp.cast(xp.one_hot(np.array(axes), f.inputs.width), z.dtype)
        unit = spread[:, None] * axis
        h = windows.resolve(self.scale, f.inputs, lambda: xp.sum(unit, axis=0))
        h = xp.minimum(xp.take(xp.cast(h, z.dtype), axes), (high - low) / 2)
        size = xp.lengths(z)[0]
        share = self._drawn(keras.random.uniform, [size, k])
        drawn = low + xp.cast(share, z.dtype) * (high - low)
        points = self._flat_points(f)
        chosen = []
        if points is not None:
            rows = self._drawn(partial(keras.random.randint, minval=0, maxval=len(points)), [size])
            chosen = [xp.take(xp.cast(xp.constant(points), z.dtype), rows, axis=0)]

        count = len(leaves)

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            z, rest = f.point(tensors[:count])
            drawn, *others = tensors[count:]
            chosen, (axis, *windows_of) = others[: len(others) - 5], others[-5:]
            moved = z * (1 - xp.sum(axis, axis=0)) + xp.matmul(drawn, axis)
            all_of_them = [z, moved, *chosen]
            again = [tiled(part, len(all_of_them)) for part in rest]
            return windows.exact_and_averaged(
                engine, f, xp.concatenate(all_of_them, axis=0), again, *windows_of
            )

        constants = [axis, unit, xp.divide_no_nan(h, spread), low, high]
        tensors = [*leaves, drawn, *chosen]
        found = run_chunked(bound, compute, tensors, WHOLE, {}, constants=constants)
        return found, xp.cast(seen, self._seen.value.dtype)

    def _look(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What has been seen so far, and each input's deviation, least and largest in it.

        This batch `(n, k)` is in it too.

        Source:
            Chan, Golub, LeVeque, Updating formulae and a pairwise algorithm for computing sample
            variances, 1979.
        """
        count, mean, variance, low, high = xp.unstack(xp.cast(self._seen.value, x.dtype))
        least, largest = xp.min(x, axis=0), xp.max(x, axis=0)
        low = xp.where(count > 0, xp.minimum(low, least), least)
        high = xp.where(count > 0, xp.maximum(high, largest), largest)
        new_mean = xp.mean(x, axis=0)
        new_variance = xp.mean(xp.square(x - xp.stop_gradient(new_mean)), axis=0)
        new = xp.cast(xp.lengths(x)[0], x.dtype)
        count = count + new
        share, apart = new / count, new_mean - mean
        mean = mean + share * apart
        variance = variance + share * (new_variance - variance + (1 - share) * apart**2)
        seen = xp.stack([count, mean, variance, low, high])
        return seen, xp.sqrt(variance), low, high


def _checked_points(points: Any) -> Any:
    """Points in arrays of their own.

    Raises:
        TypeError: for what is no array of numbers, and ValueError for what is not finite.
    """
    if points is None:
        return None

    def array(leaf: Any) -> Array:
        return np.array(xp.to_numpy(numbers_in(leaf, "points")), np.float64)

    arrays: Any
    if isinstance(points, Mapping):
        arrays = {name: array(leaf) for name, leaf in points.items()}
    elif isinstance(points, (list, tuple)) and all(hasattr(leaf, "shape") for leaf in points):
        arrays = [array(leaf) for leaf in points]  # one for each input
    else:
        arrays = array(points)
    for leaf in keras.tree.flatten(arrays):
        if not leaf.size or not np.isfinite(leaf).all():
            raise ValueError(
                "`points` must be finite, and at least one. Received: an array of shape "
                f"{leaf.shape} with {int(np.sum(~np.isfinite(leaf)))} that are not."
            )
    return arrays


def _violation(condition: shapes.Condition, found: Mapping[str, Tensor]) -> Tensor:
    """How far it is from what is asked, at points or over windows, `(n, m)`."""

    def of(derivative: Tensor) -> Tensor:
        usual = xp.stop_gradient(xp.sqrt(xp.mean(derivative**2)))
        margin = 0.0 if condition.word == "linear" else MARGIN * usual
        return xp.relu(condition.lacking(derivative) + margin)

    order = condition.order
    return xp.maximum(of(found[shapes.AT_POINTS[order]]), of(found[shapes.OVER_WINDOWS[order]]))
