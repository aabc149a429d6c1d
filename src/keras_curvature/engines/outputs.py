"""Which output to differentiate: all, one by name or index, or a classifier's best class.

On the last axis of a tensor lie the classes: logits, or what else grows with the belief in a
class. Results keep that axis, with length 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.layout import in_own_order, keys_in_order
from keras_curvature.engines.losses import LOSS, is_loss
from keras_curvature.typing import Model, Output, Tensor


def predicted(scores: Tensor) -> Tensor:
    """The predicted class's score, the largest.

    At another point another class may be the largest: a kink, which counts in the curvature
    over a distance.
    """
    return xp.max(scores, axis=-1, keepdims=True)


def margin(scores: Tensor) -> Tensor:
    """How far the largest score is above the second largest: 0 on the decision boundary."""
    largest = xp.max(scores, axis=-1, keepdims=True)
    chosen = xp.one_hot(xp.argmax(scores, axis=-1), scores.shape[-1])
    others = xp.where(chosen, xp.lowest(scores.dtype), scores)
    return largest - xp.max(others, axis=-1, keepdims=True)


OF_A_CLASSIFIER: dict[str, Callable[[Tensor], Tensor]] = {
    "predicted": predicted,
    "margin": margin,
}
"""What `output=` may be besides the names of a model's outputs."""


NEEDS_LABELS = (
    "A loss as `output` needs labels, which the monitor takes from its probe (x, y): "
    "`kc.CurvatureMonitor((x, y), output='loss')`. Elsewhere differentiate a function of x and y: "
    "`kc.laplacian(lambda given: loss(given['y'], model(given['x']))[:, None], {'x': x, 'y': y}, "
    "wrt='x')`, with a loss whose reduction is None."
)


def selector(model: Model, output: Output) -> Callable[[Any], Any]:
    """What to apply to the model's output so that only the wanted part is left."""
    if output is None:
        return lambda outputs: outputs
    if is_loss(output):
        raise ValueError(NEEDS_LABELS)
    if callable(output):
        return output
    if isinstance(output, bool) or not isinstance(output, (int, str)):
        raise TypeError(
            "`output` must be None, an int, the name of an output, 'predicted', 'margin', or a "
            f"function of the model's output. Received: {output!r}."
        )
    return lambda outputs: _selected(model, outputs, output)


def _selected(model: Model, outputs: Any, output: int | str) -> Any:
    leaves = keras.tree.flatten(outputs)
    several = len(leaves) > 1 or isinstance(outputs, (dict, list, tuple))
    if isinstance(output, str):
        names = output_names(model, outputs, leaves)
        if output in names:
            return leaves[names.index(output)]
        if output in OF_A_CLASSIFIER:
            return OF_A_CLASSIFIER[output](_scores(output, leaves, names))
        if output == LOSS:
            raise ValueError(NEEDS_LABELS)
        must = f"name one of the model's outputs {names}"
        if not names:  # a name could be that of none
            one, index = len(leaves) == 1, "an index into the last axis of the model's one output"
            must = f"be {index if one else 'the index of one of the outputs, which have no names'}"
        raise ValueError(
            f"`output` must {must}, or be one of {list(OF_A_CLASSIFIER)}. Received: {output!r}."
        )
    size = len(leaves) if several else leaves[0].shape[-1] if leaves[0].ndim else 1
    if size is not None and not -size <= output < size:
        known = output_names(model, outputs, leaves) or size
        what = f"the model's outputs {known}" if several else "the output's last axis"
        raise ValueError(
            f"`output` must be an index of {what}, from {-size} to {size - 1}. Received: {output}."
        )
    if not in_own_order(outputs):
        raise ValueError(
            f"`output` must be one of the names {output_names(model, outputs, leaves)}: Keras "
            "sorts the keys of a dict of outputs, which were written in another order, so that an "
            f"index may mean another one. Received: {output}."
        )
    if several:
        return leaves[output]
    return leaves[0][..., output : output + 1 or None]


def _scores(output: str, leaves: Sequence[Any], names: Sequence[str]) -> Any:
    """The one output of a classifier."""
    shapes = [tuple(leaf.shape) for leaf in leaves]
    if len(shapes) != 1 or len(shapes[0]) < 2 or not (shapes[0][-1] or 0) > 1:
        which = f", called {list(names)}" if len(names) > 1 else ""
        choose = f"one of them, `output={names[0]!r}`, or" if which else "with"
        raise ValueError(
            f"`output={output!r}` needs a model of one output with two classes or more on its "
            f"last axis. Received: outputs of shapes {shapes}{which}. Choose {choose} a function: "
            "`output=lambda outputs: ...`."
        )
    return leaves[0]


def output_names(model: Model | None, outputs: Any, leaves: Sequence[Any]) -> list[str]:
    """What the outputs are called, where they have names that tell them apart."""
    names = keys_in_order(outputs) or list(getattr(model, "output_names", None) or [])
    return names if len(set(names)) == len(leaves) else []
