"""What a layer that estimates derivatives keeps: random directions and standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_curvature.engines.api import xp
from keras_curvature.engines.backend import variables_are_elsewhere
from keras_curvature.typing import Tensor

APART = 0x9E3779B9
"""Between the seeds of training and of evaluation, which must not draw the same."""


class RandomDirections(keras.layers.Layer):
    """Draws directions, new ones at each step of training, and keeps account of the spread.

    A layer, so that Keras finds its state and its metric.

    Args:
        names: of what is estimated, as users call it.
        prefix: of the names of the metrics.
        seed: of what is drawn.
    """

    def __init__(self, names: Sequence[str], prefix: str, seed: int | None) -> None:
        super().__init__(name="random_directions", dtype="float32")
        self.names = tuple(names)
        self.training = keras.random.SeedGenerator(seed)
        self.evaluation = RepeatedSeed(None if seed is None else (seed + APART) % 2**31)
        # Weights and not variables of a metric, which Keras's trainer on JAX loses in a layer.
        self.spread = self.add_weight(
            (len(self.names), 2),
            initializer="zeros",
            trainable=False,
            aggregation="mean",
            name="spread",
        )
        self.keys = tuple(f"{prefix}_{name}_standard_error" for name in self.names)
        self._metric = StandardErrors(f"{prefix}_standard_error", self.keys, lambda: self.spread)
        self.built = True

    def draw(self, training: bool, signs: bool, shape: Sequence[Any]) -> Tensor:
        """Signs, or normally distributed numbers: the same ones again where nothing trains."""
        seed = self.training if training else self.evaluation
        if not signs:
            return keras.random.normal(shape, seed=seed)
        return 2 * keras.random.randint(shape, 0, 2, "int32", seed=seed) - 1

    def note(self, squares: Mapping[str, Tensor]) -> None:
        """Adds the mean square of the standard error of each estimate in a batch.

        Of one direction there is none to be known: NaN.
        """
        if not squares:
            squares = dict.fromkeys(self.names, keras.ops.convert_to_tensor(math.nan))
        added = [[xp.cast(squares[name], self.spread.dtype)] for name in self.names]
        one = keras.ops.ones((len(added), 1), self.spread.dtype)
        found = keras.ops.concatenate([keras.ops.convert_to_tensor(added), one], axis=1)
        self.spread.assign(self.spread + found)

    def save_own_variables(self, store: Any) -> None:
        """Where the streams of random numbers are; what belongs to an epoch is not kept."""
        store["training"], store["evaluation"] = self.training.state, self.evaluation.state

    def load_own_variables(self, store: Any) -> None:
        """Goes on where it was."""
        self.training.state.assign(store["training"])
        self.evaluation.state.assign(store["evaluation"])


class RepeatedSeed(keras.random.SeedGenerator):
    """Draws the same numbers each time."""

    def next(self, ordered: bool = True) -> Any:
        """The seed as it is."""
        return self.state.value * 1


class StandardErrors(keras.metrics.Metric):
    """The root mean square of the standard errors of estimates, over an epoch.

    Args:
        name: of the metric.
        keys: what the estimates' are called in Keras's logs.
        spread: gives, for each, the sum of mean squares in batches, and how many batches there
            were. Of a variable itself Keras would make one of the metric.
    """

    def __init__(self, name: str, keys: Sequence[str], spread: Callable[[], Any]) -> None:
        super().__init__(name=name)
        self._keys = keys
        self._spread_now = spread

    def reset_state(self) -> None:
        """An epoch begins, or an evaluation."""
        spread = self._spread_now()
        spread.assign(keras.ops.zeros(spread.shape, spread.dtype))

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """The layer notes what there is."""

    def result(self) -> dict[str, Any]:
        """By the names in the logs; there is none yet in a step of Keras's trainer on JAX: 0."""
        if variables_are_elsewhere():
            return dict.fromkeys(self._keys, keras.ops.zeros(()))
        sums = keras.ops.convert_to_tensor(self._spread_now())
        found = keras.ops.sqrt(sums[:, 0] / keras.ops.maximum(sums[:, 1], 1))
        return {key: found[i] for i, key in enumerate(self._keys)}


def counts_of(directions: int) -> tuple[int, ...]:
    """How many directions each of two independent estimates has; one estimate of one."""
    return (directions - directions // 2, directions // 2) if directions > 1 else (1,)


def squared_error(apart: Tensor, counts: Sequence[int]) -> Tensor:
    """The squared standard error of the mean over all directions.

    `E (e₁ - e₂)² = σ² (1/k₁ + 1/k₂)` for two estimates from `k₁` and `k₂` directions, and the mean
    over all has the variance `σ²/(k₁ + k₂)`.
    """
    return math.prod(counts) / sum(counts) ** 2 * apart


def checked_directions(directions: Any, halves: bool) -> int | None:
    """How many directions, if that is possible.

    Raises:
        ValueError: where it is not.
    """
    if directions is None:
        if halves:
            raise ValueError("`halves=True` needs `directions`, an even number. Received: None.")
        return None
    if isinstance(directions, bool) or not isinstance(directions, int) or directions < 1:
        raise ValueError(
            f"`directions` must be an int, at least 1, or None. Received: {directions!r}."
        )
    if halves and directions % 2:
        raise ValueError(
            "`directions` must be even with `halves=True`, so that both halves weigh alike. "
            f"Received: {directions}."
        )
    return directions
