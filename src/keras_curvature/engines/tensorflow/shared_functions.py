"""Functions that were compiled for one model and serve all of the same graph.

Trials of one architecture, folds of a cross-validation, the restarts of a search: each makes a new
model, whose graph is compiled once. What is kept here takes the weights as arguments and
holds none; a model and its weights go when nobody else needs them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_curvature.engines.tensorflow.compilation import compiled_for_any_weights
from keras_curvature.engines.tensorflow.tracing import Trace

KEPT = 64
"""Compiled functions kept; beyond that the least recently used one goes. A monitor takes a dozen
for one architecture."""

_kept: OrderedDict[Hashable, Any] = OrderedDict()


@dataclass(frozen=True)
class WithWeights:
    """A compiled function with the weights of one model.

    Attributes:
        function: takes tensors, and the weights behind them.
        weights: variables.
    """

    function: Any
    weights: tuple[tf.Variable, ...]

    def __call__(self, *tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the function gives for this model."""
        return self.function(*tensors, *self.weights)


def shared(
    traced: Trace, key: Hashable, call: Callable[..., Any], specs: Sequence[tf.TensorSpec]
) -> WithWeights:
    """`call` compiled for tensors like `specs`, unless that was done for such a model before.

    Args:
        traced: the model, which has an `identity`.
        key: equal for two functions of models of one `identity` that compute the same.
        call: runs the model, and depends on nothing else that is not in `key`.
        specs: of its arguments.
    """
    weights = tuple(traced.variables.values())
    key = (traced.identity, key)
    if key in _kept:
        _kept.move_to_end(key)
        return WithWeights(_kept[key], weights)
    function = compiled_for_any_weights(call, specs, traced.variables)
    # Constants that the model holds are part of its identity; anything else is this model's alone.
    constants = {id(outer) for outer, _ in traced.captures} - {id(w.handle) for w in weights}
    if all(id(tensor) in constants for tensor in function.captured_inputs):
        _kept[key] = function
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    return WithWeights(function, weights)
