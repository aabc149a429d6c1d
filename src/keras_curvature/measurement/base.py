"""A model at a probe: what both ways of measuring it begin with."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_curvature.engines.bound_model import BoundModel, bind
from keras_curvature.engines.options import Options
from keras_curvature.engines.tensorflow.function import FlatFunction
from keras_curvature.measurement import ground_truth, windows
from keras_curvature.measurement.probe import Probe
from keras_curvature.typing import Array, Model


class Measurer:
    """A traced model, the probe's points, and the scale on which they differ.

    Attributes:
        probe: where to measure.
    """

    def __init__(self, model: Model, probe: Probe, options: Options, scale: Any) -> None:
        """Traces the model and settles scale and target.

        Args:
            model: a built model.
            probe: where to measure.
            options: output, input, engine, dtype and chunks.
            scale: as in `scale_curvature`, one scale.
        """
        self.probe = probe
        self._options = options
        self._bound = bind(model, probe.x, options)
        f = self._bound.f
        self._spread: Array = windows.spread(tf.constant(self._points())).numpy()
        self._scale: Array = windows.resolve(
            scale, f.inputs, lambda: tf.constant(self._spread)
        ).numpy()
        self._targets = ground_truth.targets(probe, options.output, f, model)

    def _points(self) -> Array:
        """The probe's points `(n, d)`: as large as the probe, so nobody keeps them."""
        return self.f.point(self._bound.inputs.leaves)[0].numpy().astype(np.float64)

    @property
    def bound(self) -> BoundModel:
        """The traced model and the probe's points."""
        return self._bound

    @property
    def f(self) -> FlatFunction:
        """The model as a function of one vector."""
        return self._bound.f
