"""Measures a model of thousands of inputs for the price of some forward passes: estimates."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_curvature.engines.api import (
    Engine,
    Options,
    run_chunked,
    sparse_rademacher,
    xp,
)
from keras_curvature.engines.backend import computing_in
from keras_curvature.engines.quantities import CURVATURE, LAPLACIAN, SLOPE, VALUE
from keras_curvature.measurement import digits, method_text, multiscale, one_call, segments
from keras_curvature.measurement.base import Measurer
from keras_curvature.measurement.estimated_results import EstimatedMeasurement
from keras_curvature.measurement.one_call import Task
from keras_curvature.measurement.probe import Probe
from keras_curvature.measurement.results import Measurement
from keras_curvature.measurement.statistics import deviations
from keras_curvature.typing import Array, Model, Tensor

DIRECTIONS = 8
"""Of each point, where the monitor chooses."""

POINTS_PER_LINE, LEAST_LINES, PIECES = 40, 1, 3
"""Probe points for each line between them, how many lines at least, and the pieces of each.

A line takes 44 rows, in forward passes of one point: about one pass over the probe.
"""

KEPT_DRAW = 2**27
"""Bytes up to which directions are kept for all steps: drawing them anew takes as long as a forward
pass of a small network.

A direction takes a quarter of a point's memory. 64 probe points of 224 x 224 x 3 still fit with
the monitor's own number of directions.
"""

DRAWN_AT_ONCE = 2**22
"""Entries of directions, while they are drawn to be kept."""

POINTS_PER_SCALE_LINE = 80
"""Probe points for each line on which the curvature is taken over many distances.

A line takes 33 rows in float64. They are for a picture, and taken only when it is drawn.
"""

DIAGNOSED_ACTIVATIONS = 2 * 10**6
"""Numbers in all intermediate results of an example, up to which the monitor diagnoses a model."""

POINTS_PER_WINDOW, LEAST_WINDOWS = 4, 8
"""Probe points for each at which the curvature at the scale is taken, and how many at least.

One takes 8 rows: two passes over the probe. The standard error of a root mean square of 4 points is
too small in every second draw, of 16 in every third.
"""

LEAST_IN_FLOAT64, NUMBERS_IN_FLOAT64 = 4, 128
"""Points at which one direction is taken in float64 too, for the digits: how many at least, and
the inputs of all of them. Two thirds of a direction are zeros: along few inputs many go nowhere.
"""


@dataclass(frozen=True)
class Draw:
    """Random directions at each example.

    Attributes:
        count: how many.
        width: their length, the number of inputs.
        seed: chooses them.
    """

    count: int
    width: int
    seed: int

    def thirds(self, examples: Tensor) -> Tensor:
        """For the examples of these numbers, int8 `(n, count, d)`."""
        return sparse_rademacher([self.count, self.width], self.seed, examples)

    def along(self, kept: Tensor, unit: Tensor, dtype: Any) -> Tensor:
        """Directions `(count, n, d)`.

        Args:
            kept: what `thirds` gave, or the examples' numbers.
            unit: of each input, `(d,)`.
            dtype: of the result.
        """
        thirds = self.thirds(kept) if len(kept.shape) == 1 else kept
        length = xp.cast(math.sqrt(3) * unit, dtype)
        return xp.cast(xp.transpose(thirds, [1, 0, 2]), dtype) * length


class EstimatedMeasurer(Measurer):
    """A model, a probe and what is seen of it along random directions.

    Stands in for `exact.ExactMeasurer` where the second derivatives along all inputs would cost too
    much. The directions are the same at every step: the curve shows the training and not
    sampling error.
    """

    @computing_in("float64")
    def __init__(
        self,
        model: Model,
        probe: Probe,
        *,
        options: Options,
        directions: int,
        why: str,
        units: str = "auto",
        scale: Any = "auto",
        seed: int = 0,
    ) -> None:
        """Traces the model and settles scale and target.

        Args:
            model: a built model.
            probe: where to measure.
            options: output, input, engine, dtype and chunks.
            directions: at each point, two at least: how they differ tells the size of the Hessian.
            why: estimates are taken, as a clause.
            units: of the inputs along which the directions go, `"raw"`, `"std"` or `"auto"`.
            scale: as in `scale_curvature`, one scale.
            seed: of the directions.
        """
        super().__init__(model, probe, options, units, scale)
        self._why = why
        self._draw = Draw(max(2, directions), self.f.inputs.width, seed)
        points = self.points()
        standard = self.units == "std"
        self._unit = deviations(points, self._spread) if standard else np.ones_like(self._spread)
        self._directions: Tensor | None = None
        self.choice = self._bound.choice((LAPLACIAN,))
        n = probe.size
        lines = max(LEAST_LINES, n // POINTS_PER_LINE)
        self._pairs = segments.pairs(n, min(lines, segments.SEGMENTS))
        lines = min(max(1, n // POINTS_PER_SCALE_LINE), multiscale.CENTRES)
        self._scale_lines = multiscale.scale_lines(points, self._spread, lines)
        windows = max(LEAST_WINDOWS, n // POINTS_PER_WINDOW)
        drawn = np.random.default_rng(0).permutation(n)
        self._windows = np.sort(drawn[:windows])
        few = max(LEAST_IN_FLOAT64, NUMBERS_IN_FLOAT64 // self.f.inputs.width)
        self._exactly = np.sort(drawn[:few])

    @property
    def diagnosable(self) -> bool:
        """Whether a diagnosis takes seconds and not minutes."""
        return self.f.activity.activations <= DIAGNOSED_ACTIVATIONS

    @property
    def engine(self) -> Engine[Any]:
        """Computes the curvatures along the directions."""
        return self._bound.engine_for((LAPLACIAN,))

    def method(self) -> tuple[str, ...]:
        """What is measured, how and why, one sentence each."""
        n, d, m = self.probe.size, self.f.inputs.width, self.f.outputs.width
        k = self._draw.count
        lines = [
            f"{n} probe points, {d} inputs, {m} output(s): estimates from {k} random directions "
            f"at each point, the same at every step; {self._why}.",
            f"{method_text.begun(str(self.choice))}; in {xp.name_of(self.f.dtype)}: {2 * k + 1} "
            f"forward passes over the probe, {k + 1} where nothing but kinks bends.",
            "mean: Hutchinson's estimate of the Laplacian. rms: the Hessian's Frobenius norm, from "
            "how the directions at a point differ. Each has a standard error beside it.",
            f"Curvature at the scale: how much the slope changes along two random directions at "
            f"{len(self._windows)} points, over a window of half-width h = "
            f"{method_text.few(self._scale)}, in sum over the directions of the inputs.",
            f"Slope change and hidden fraction: on {len(self._pairs[0])} straight lines between "
            f"probe points, in {PIECES} pieces each, in {xp.name_of(self._on_lines.dtype)}.",
            f"Curvature over many distances, with each picture: second differences in float64 "
            f"along {len(self._scale_lines.start)} such line(s), in standard deviations.",
            f"Units: {method_text.UNITS[self.units]}.",
        ]
        if not self.diagnosable:
            lines.append(
                "Not diagnosed: kc.diagnose(model, x) does, in about ten thousand forward passes "
                "of one example."
            )
        return (*lines, *method_text.remarks(self._bound))

    @computing_in("float64")
    def over_scales(self, measured: Mapping[str, Measurement]) -> dict[str, Measurement]:
        """The last ones with their curvature over many distances, now."""
        found = {
            key: xp.to_numpy(part, np.float64)
            for key, part in one_call.run(self._on_scales(own=True)).items()
        }
        values, single = found["scales"], found["single"]
        results = {}
        for name, part in self._parts():
            unit = measured[name].unit
            scales = self._multiscale(values[..., part] / unit, single[..., part] / unit)
            results[name] = dataclasses.replace(measured[name], multiscale=scales)
        return results

    def _found(self, *, sliced: bool) -> dict[str, Tensor]:
        engine = self.engine
        lines = engine.rows_along(self._on_lines) // (3 * PIECES * len(segments.GAUSS_POINTS))
        tasks = {
            "points": self._at_points(),
            "lines": self._on_segments(engine, PIECES, lines),
            "scale": self._at_scale(),
        }
        if self.f.batch is None:
            tasks["digits"] = self._digits_at_points()
        return dict(itertools.chain(*(part.items() for part in self._run_all(tasks).values())))

    def _measurement(self, found: dict[str, Array], part: slice, i: int) -> EstimatedMeasurement:
        value, target, lines = (
            found[VALUE][:, part],
            self._targets[i],
            segments.segments_of(found, part),
        )
        spread = self._output_spread(value, i)
        standard = self.units == "std"
        out = spread if standard else np.ones_like(spread)
        return EstimatedMeasurement(
            value=value / out,
            traces=found[CURVATURE][:, part] / out[:, None],
            squared_slopes=found[SLOPE][:, part] / out**2,
            scale=self._scale,
            scale_traces=found["scale"][:, part] / out[:, None],
            segments=lines.in_standard_units(out) if standard else lines,
            target=None if target is None else target / out,
            input_spread=self._spread,
            output_spread=spread / out,
            unit=out,
            digits=self._digits(found, part),
            coarse=self._coarse(),
        )

    def _digits(self, found: dict[str, Array], part: slice) -> float:
        """How many digits are real of the second derivatives along the first of the directions."""
        if "precise" not in found:
            return float("nan")
        own = found[CURVATURE][self._exactly, part, 0]
        return digits.Second(own, found["precise"][:, part], xp.eps(self.f.dtype)).digits()

    def _kept(self) -> Tensor:
        """The directions of all points, or, where these are too many, the points' numbers."""
        if self._directions is None:
            n, each = self.probe.size, self._draw.count * self.f.inputs.width
            numbers = xp.arange(n)
            if n * each > KEPT_DRAW:
                self._directions = numbers
            else:
                draw = self._draw

                def compute(index: Tensor) -> dict[str, Tensor]:
                    return {"drawn": draw.thirds(index)}

                size = max(1, DRAWN_AT_ONCE // each)
                found = run_chunked(self._bound, compute, [numbers], size, {})
                self._directions = found["drawn"]
        return self._directions

    def _at_points(self) -> Task:
        f, engine, draw = self.f, self.engine, self._draw

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            *leaves, kept, unit = tensors
            z, rest = f.point(leaves)
            found = engine.along(f, z, rest, draw.along(kept, unit, z.dtype))
            return {**found, SLOPE: xp.mean(found[SLOPE] ** 2, axis=2)}

        size = engine.rows_along(f) // (2 * draw.count + 1)
        halved_from = self._bound.evaluator.halved_along(engine, draw.count)
        tensors = self._at_all_points()
        return self._task(compute, tensors, size, [self._unit], halved_from=halved_from)

    def _digits_at_points(self) -> Task:
        """Along the first direction of some points, once more, in float64."""
        kept = xp.take(self._kept(), self._exactly)
        along = self._draw.along(kept, xp.constant(self._unit), xp.dtype_of("float64"))[0]
        return self._digits_along(self._exactly, along, own=False)

    def _at_scale(self) -> Task:
        """Slopes differ less than values do: float64 is needed for the places alone."""
        f, engine, draw = self._on_lines, self.engine, self._draw

        def compute(*tensors: Tensor) -> dict[str, Tensor]:
            *leaves, kept, unit, scale = tensors
            z, rest = f.point(leaves)
            v = draw.along(kept, unit, z.dtype)[:2]
            # To where `x + tv` leaves the ellipsoid with half-axes h.
            steps = 1 / xp.maximum(xp.norm(v / xp.cast(scale, z.dtype), axis=2), 1e-12)
            ends = xp.stack([z + steps[..., None] * v, z - steps[..., None] * v])
            rows = xp.reshape(ends, [-1, f.inputs.width])
            along = xp.reshape(xp.stack([v, v]), [1, -1, f.inputs.width])
            others = [xp.tile(part, [4, *[1] * (len(part.shape) - 1)]) for part in rest]
            slopes = engine.along(f, rows, others, along)[SLOPE]
            ahead, behind = xp.unstack(xp.reshape(slopes, [2, 2, -1, f.outputs.width]), 2)
            change = (ahead - behind) / (2 * steps[..., None])
            return {"scale": xp.transpose(change, [1, 2, 0])}

        tensors = [xp.take(part, self._windows) for part in self._at_all_points()]
        constants = [self._unit, self._scale]
        return self._task(compute, tensors, engine.rows_along(f) // 8, constants)

    def _at_all_points(self) -> list[Tensor]:
        """The points as the model takes them, and what is kept of their directions."""
        return [*self._bound.inputs.leaves, self._kept()]
