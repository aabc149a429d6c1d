"""What a monitor proves at the end of a training: the shape, over the range of the probe."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_curvature.enclosures.encloser import encloser_of
from keras_curvature.engines.api import BoundModel, Options, bind
from keras_curvature.measurement.shape import LINEAR, TOLERANCE, Condition
from keras_curvature.proofs.box import Box, require_real
from keras_curvature.proofs.claims import Claim
from keras_curvature.proofs.prove import proof_of
from keras_curvature.proofs.results import Proof
from keras_curvature.typing import Array, Model, Structure

SECONDS = 30.0
"""That `prove=True` takes at most, after hours of training or minutes."""


def checked_seconds(prove: Any, *, has_shape: bool) -> float | None:
    """How long a proof may take; `None` for no proof.

    Raises:
        ValueError: for what is neither a bool nor a time, and for nothing to prove.
    """
    if prove is False or prove is None:
        return None
    if prove is True:
        prove = SECONDS
    if not isinstance(prove, (int, float)) or not 0 < prove < float("inf"):
        raise ValueError(
            "`prove` must be True, for at most "
            f"{SECONDS:.0f} seconds, or a finite number of seconds above 0. Received: {prove!r}."
        )
    if not has_shape:
        raise ValueError(
            "`prove` needs a shape to prove: give `shape={'strike': 'convex'}`. Received: "
            f"prove={prove!r} and no shape."
        )
    return float(prove)


class Prover:
    """Proves what was asked of a network's shape, over the box that the probe spans.

    Raises:
        ValueError: for a network with an op that has no rule, or for a choice of inputs.
        TypeError: for a network of integers.
    """

    def __init__(
        self,
        model: Model,
        x: Structure,
        options: Options,
        conditions: Sequence[Condition],
        names: Sequence[str],
    ) -> None:
        """Makes sure now that it can be enclosed later."""
        if options.wrt is not None or options.columns is not None:
            raise ValueError(
                "`prove` goes over all inputs of the model. Received: `wrt` or `columns` besides. "
                "Leave them out, or prove it with `keras_curvature.prove`, where an input is held "
                "that is the same in `low` and `high`."
            )
        require_real(model)
        self._model, self._conditions, self._names = model, conditions, tuple(names)
        self._options = Options(options.output, dtype="float64")
        self._example = keras.tree.map_structure(lambda leaf: leaf[:1], x)
        encloser_of(model, self._bound())

    def _bound(self) -> BoundModel:
        return bind(self._model, self._example, self._options)

    def prove(
        self,
        points: Array,
        input_spread: Array,
        output_spread: Array,
        seconds: float,
        verbose: bool | None,
    ) -> Proof | None:
        """Proves it, as the weights are now; `None` where the probe is but one point.

        Args:
            points: of the probe, `(n, d)`.
            input_spread: standard deviation of each input.
            output_spread: of each output.
            seconds: that it may take.
            verbose: see `keras_curvature.prove`.
        """
        low, high = points.min(axis=0), points.max(axis=0)
        if not np.any(low < high):
            return None
        begun = time.monotonic()
        bound = self._bound()
        box = Box(bound, low, high, self._names)
        claims = [
            Claim((one.index,), one.input, one.word, 0.0 if one.word == "linear" else None)
            for one in self._conditions
        ]

        def tolerance(claim: Claim) -> float:
            """What counts as none at the points of the probe counts as none between them."""
            relative = LINEAR if claim.word == "linear" else TOLERANCE
            spread = float(input_spread[claim.inputs[0]])
            return relative * float(np.min(output_spread)) / spread**claim.order

        enclose = encloser_of(self._model, bound)
        return proof_of(enclose, box, claims, tolerance, seconds, verbose, begun)
