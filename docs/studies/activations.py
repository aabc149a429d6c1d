"""Which activation gives a network whose second derivatives can be used?

Trains the same network with each activation in the same way, on two functions of one input
whose second derivatives are known, and compares the exact second derivative and the curvature
at a scale with them. Writes docs/activations.md; about two minutes on two cores.
"""

from __future__ import annotations

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_curvature as kc

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid")
POINTS, UNITS, STEPS, BATCH, RATE = 400, (64, 64), 5000, 50, 1e-2
PAGE = Path(__file__).resolve().parents[2] / "docs" / "activations.md"


@dataclass(frozen=True)
class BoundModel:
    """A function to learn, and how.

    Attributes:
        title: as a heading.
        low: where the data begins.
        high: where it ends.
        value: the function.
        second: its second derivative.
        averaged: that, averaged with the triangle of half-width `h`.
    """

    title: str
    low: float
    high: float
    value: Callable[[np.ndarray], np.ndarray]
    second: Callable[[np.ndarray], np.ndarray]
    averaged: Callable[[np.ndarray, float], np.ndarray]

    @property
    def points(self) -> np.ndarray:
        """The data's."""
        return np.linspace(self.low, self.high, POINTS)[:, None]

    @property
    def scale(self) -> float:
        """What `scale="auto"` takes."""
        return float(self.points.std() / 4)


PROBLEMS = (
    BoundModel(
        title="x² on [0, 1]",
        low=0.0,
        high=1.0,
        value=np.square,
        second=lambda x: np.full_like(x, 2.0),
        averaged=lambda x, h: np.full_like(x, 2.0),
    ),
    BoundModel(
        title="sin 3x on [-1.2, 1.2]",
        low=-1.2,
        high=1.2,
        value=lambda x: np.sin(3 * x),
        second=lambda x: -9 * np.sin(3 * x),
        averaged=lambda x, h: np.sin(3 * x) * (2 * np.cos(3 * h) - 2) / h**2,
    ),
)


@dataclass(frozen=True)
class Row:
    """What one trained network gives; errors relative to the root mean square of the truth.

    Attributes:
        misfit: root mean square error of the value.
        zero: share of points at which the exact second derivative is exactly 0.
        exact: error of the exact second derivative.
        at_scale: error of the curvature at the scale, of the average that it stands for.
        hidden: share of the change of slope that the exact second derivative does not see.
    """

    misfit: float
    zero: float
    exact: float
    at_scale: float
    hidden: float


def train(bound: BoundModel, activation: str, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(n, activation) for n in UNITS]
    model = keras.Sequential([keras.Input((1,)), *hidden, keras.layers.Dense(1)])
    rate = keras.optimizers.schedules.CosineDecay(RATE, STEPS)
    # Many steps in one call: these are so small that calling takes longer than computing.
    model.compile(keras.optimizers.Adam(rate), "mse", steps_per_execution=STEPS // 20)
    x = bound.points.astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, bound.value(x))).cache()
    batches = data.shuffle(POINTS, seed=seed).repeat().batch(BATCH)
    model.fit(batches, steps_per_epoch=STEPS, verbose=0)
    return model


def measure(bound: BoundModel, model: keras.Model) -> Row:
    x, h = bound.points, bound.scale
    inner = x[(x[:, 0] >= bound.low + h) & (x[:, 0] <= bound.high - h)]
    value = kc.derivatives(model, inner, ["value"])["value"].numpy()
    exact = kc.hessian_diagonal(model, inner).numpy()[..., 0]
    at_scale = kc.scale_curvature(model, inner, h).numpy()[..., 0]
    return Row(
        misfit=relative(value, bound.value(inner)),
        zero=float(np.mean(exact == 0)),
        exact=relative(exact, bound.second(inner)),
        at_scale=relative(at_scale, bound.averaged(inner, h)),
        hidden=kc.hidden_fraction(model, inner).item(),
    )


def relative(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - truth) ** 2) / np.mean(truth**2)))


def median(rows: Sequence[Row]) -> Row:
    return Row(*np.median([astuple(row) for row in rows], axis=0))


def table(bound: BoundModel, rows: dict[str, Row]) -> str:
    lines = [
        f"## {bound.title}, at the scale {bound.scale:.2g}",
        "",
        "| activation | misfit | exact second derivative off by | exactly 0 at "
        "| curvature at the scale off by | hidden fraction |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row.misfit:.2%} | {row.exact:.1%} | {row.zero:.0%} | {row.at_scale:.1%} "
        f"| {row.hidden:.3f} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines).replace("%", " %")


INTRODUCTION = """\
# Which activation?

For second derivatives at a point, train with GELU or SiLU. ReLU and leaky ReLU fit best, but
their exact second derivative is 0 and all their curvature is in kinks; measured at a scale, it is
as good as any. ELU has no second derivative on one side of 0: the exact one is right on average
and not at a point. Softplus, tanh and sigmoid learn the shape later than the others, so look at
the fit first: what is not learned yet, no way of measuring can show.

The same training for all: {points} points, hidden layers of {units} units, Adam at {rate} lowered
to 0 by a cosine, {steps} steps of {batch} points. Medians over {seeds} seeds, written by
`docs/studies/activations.py`. Errors are root mean squares relative to the truth's, at points whose
window lies inside the data; the curvature at the scale (`scale="auto"`) is compared with the true
second derivative averaged by the same kernel.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--print", action="store_true", help="do not write docs/activations.md")
    arguments = parser.parse_args()
    introduction = INTRODUCTION.format(
        points=POINTS,
        units=" and ".join(map(str, UNITS)),
        rate=RATE,
        steps=STEPS,
        batch=BATCH,
        seeds=arguments.seeds,
    )
    sections = [introduction.strip()]
    for bound in PROBLEMS:
        rows = {}
        for activation in ACTIVATIONS:
            trained = [train(bound, activation, seed) for seed in range(arguments.seeds)]
            rows[activation] = median([measure(bound, model) for model in trained])
            print(f"{bound.title}, {activation}: done", flush=True)
        sections.append(table(bound, rows))
    page = "\n\n".join(sections) + "\n"
    print(page)
    if not arguments.print:
        PAGE.write_text(page)


if __name__ == "__main__":
    main()
