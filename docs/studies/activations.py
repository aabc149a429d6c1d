"""Which activation gives a network whose second derivatives can be used?

Trains the same network with each activation in the same way, on two functions of one input
whose second derivatives are known, and compares the exact second derivative and the curvature
at a scale with them. Writes the tables of docs/relu.md; about two minutes on two cores.
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
PAGE = Path(__file__).resolve().parents[2] / "docs" / "relu.md"
BEGIN, END = "<!-- measured, by docs/studies/activations.py -->", "<!-- end of what is measured -->"


@dataclass(frozen=True)
class Task:
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


TASKS = (
    Task(
        title="x² on [0, 1]",
        low=0.0,
        high=1.0,
        value=np.square,
        second=lambda x: np.full_like(x, 2.0),
        averaged=lambda x, h: np.full_like(x, 2.0),
    ),
    Task(
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


def train(task: Task, activation: str, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(n, activation) for n in UNITS]
    model = keras.Sequential([keras.Input((1,)), *hidden, keras.layers.Dense(1)])
    rate = keras.optimizers.schedules.CosineDecay(RATE, STEPS)
    # Many steps in one call: these are so small that calling takes longer than computing.
    model.compile(keras.optimizers.Adam(rate), "mse", steps_per_execution=STEPS // 20)
    x = task.points.astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, task.value(x))).cache()
    batches = data.shuffle(POINTS, seed=seed).repeat().batch(BATCH)
    model.fit(batches, steps_per_epoch=STEPS, verbose=0)
    return model


def measure(task: Task, model: keras.Model) -> Row:
    x, h = task.points, task.scale
    inner = x[(x[:, 0] >= task.low + h) & (x[:, 0] <= task.high - h)]
    value = kc.derivatives(model, inner, ["value"])["value"].numpy()
    exact = kc.hessian_diagonal(model, inner).numpy()[..., 0]
    at_scale = kc.scale_curvature(model, inner, h).numpy()[..., 0]
    return Row(
        misfit=relative(value, task.value(inner)),
        zero=float(np.mean(exact == 0)),
        exact=relative(exact, task.second(inner)),
        at_scale=relative(at_scale, task.averaged(inner, h)),
        hidden=kc.hidden_fraction(model, inner).item(),
    )


def relative(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - truth) ** 2) / np.mean(truth**2)))


def median(rows: Sequence[Row]) -> Row:
    return Row(*np.median([astuple(row) for row in rows], axis=0))


def table(task: Task, rows: dict[str, Row]) -> str:
    lines = [
        f"### {task.title}, at the scale {task.scale:.2g}",
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
    return "\n".join(lines).replace("%", "\N{NO-BREAK SPACE}%")


SETTINGS = """\
The same training for all: {points} points, hidden layers of {units} units, Adam at {rate} lowered
to 0 by a cosine, {steps} steps of {batch} points. Medians over {seeds} seeds, written by
`docs/studies/activations.py`. Errors are root mean squares relative to the truth's, at points whose
window lies inside the data; the curvature at the scale (`scale="auto"`) is compared with the true
second derivative averaged by the same kernel.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--print", action="store_true", help="do not write docs/relu.md")
    arguments = parser.parse_args()
    settings = SETTINGS.format(
        points=POINTS,
        units=" and ".join(map(str, UNITS)),
        rate=RATE,
        steps=STEPS,
        batch=BATCH,
        seeds=arguments.seeds,
    )
    sections = [settings.strip()]
    for task in TASKS:
        rows = {}
        for activation in ACTIVATIONS:
            trained = [train(task, activation, seed) for seed in range(arguments.seeds)]
            rows[activation] = median([measure(task, model) for model in trained])
            print(f"{task.title}, {activation}: done", flush=True)
        sections.append(table(task, rows))
    measured = "\n\n".join(sections)
    print(measured)
    if not arguments.print:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{measured}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
