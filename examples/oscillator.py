"""An inverse problem: the damping and the stiffness of an oscillator from noisy positions.

    m ẍ + c ẋ + k x = 0,   m = 1, c and k unknown

A network x(t) fits 200 noisy measurements; `kc.DerivativeOutput` gives its velocity and its
acceleration, and a layer with the weights c and k turns them into the residual of the equation,
which is to be 0. Adam learns network, c and k together. Nobody differentiates the noisy data.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import keras_curvature as kc

DAMPING, STIFFNESS = 0.5, 9.0
DURATION, MEASUREMENTS, NOISE = 5.0, 200, 0.1
STEPS = 100  # of the optimizer in each epoch

COLOUR, INK, GREY = "#0f766e", "#111827", "#9ca3af"


def position(t: np.ndarray, c: float = DAMPING, k: float = STIFFNESS, v: float = 0.0, x: float = 1):
    """The solution that starts at `x` with velocity `v`."""
    frequency = np.sqrt(k - c**2 / 4)
    waves = x * np.cos(frequency * t) + (v + c * x / 2) / frequency * np.sin(frequency * t)
    return np.exp(-c * t / 2) * waves


def velocity(t: np.ndarray) -> np.ndarray:
    """Of the motion that starts at 1 and at rest: ẋ(0) = 0 and ẍ(0) = -k."""
    frequency = np.sqrt(STIFFNESS - DAMPING**2 / 4)
    return -STIFFNESS / frequency * np.exp(-DAMPING * t / 2) * np.sin(frequency * t)


def acceleration(t: np.ndarray) -> np.ndarray:
    return -DAMPING * velocity(t) - STIFFNESS * position(t)


def measure() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0, DURATION, size=(MEASUREMENTS, 1)), axis=0)
    x = position(t) + NOISE * rng.normal(size=t.shape)
    return t.astype("float32"), x.astype("float32")


class Motion(keras.layers.Layer):
    """ẍ + c ẋ + k x, with c and k to be learned, kept positive as exponentials."""

    def __init__(self) -> None:
        super().__init__()
        self.logarithms = self.add_weight(shape=(2,), initializer="zeros", name="log_c_and_k")

    def call(self, motion: dict[str, tf.Tensor]) -> tf.Tensor:
        """The residual, `(batch, 1)`."""
        c, k = keras.ops.exp(self.logarithms[0]), keras.ops.exp(self.logarithms[1])
        return motion["laplacian"] + c * motion["jacobian"][:, :, 0] + k * motion["value"]

    def found(self) -> tuple[float, float]:
        """The present c and k."""
        c, k = np.exp(keras.ops.convert_to_numpy(self.logarithms))
        return float(c), float(k)


@dataclass(frozen=True)
class Learned:
    """The network x(t), the history of c and k, and what the monitor saw."""

    network: keras.Model
    path: np.ndarray
    monitor: kc.CurvatureMonitor

    @property
    def constants(self) -> np.ndarray:
        """The c and k that were learned."""
        return self.path[-1]


def learn(epochs: int, out: Path) -> Learned:
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Rescaling(6 / DURATION, -3.0),
            *(keras.layers.Dense(32, activation="tanh") for _ in range(3)),
            keras.layers.Dense(1),
        ]
    )
    inputs = keras.Input((1,))
    motion = kc.DerivativeOutput(network, ["value", "jacobian", "laplacian"])(inputs)
    equation = Motion()
    outputs = {"position": motion["value"], "residual": equation(motion)}
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, epochs * STEPS)),
        loss={"position": "mse", "residual": "mse"},
        loss_weights={"position": 1.0, "residual": 0.1},
        steps_per_execution=STEPS,
    )
    t, x = measure()
    data = tf.data.Dataset.from_tensors((t, {"position": x, "residual": np.zeros_like(x)}))
    probe = np.linspace(0, DURATION, 101, dtype="float32")[:, None]
    monitor = kc.CurvatureMonitor(
        (probe, position(probe)),
        log_dir=out,
        output="position",
        reference=lambda t: acceleration(t)[..., None],
        feature_names=["t"],
        freq=2,
    )
    path = [equation.found()]
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: path.append(equation.found())
    )
    model.fit(
        data.repeat(),
        steps_per_epoch=STEPS,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[monitor, note],
    )
    return Learned(network, np.array(path), monitor)


def standard_errors() -> np.ndarray:
    """The least that c and k can scatter with such noise, by Cramér and Rao.

    Start and velocity are unknown too, so all four are estimated together.
    """
    t, _ = measure()
    t = t[:, 0].astype("float64")
    known = np.array([DAMPING, STIFFNESS, 0.0, 1.0])
    slopes = [
        (position(t, *(known + e)) - position(t, *(known - e))) / 2e-5 for e in 1e-5 * np.eye(4)
    ]
    information = np.array(slopes) @ np.array(slopes).T / NOISE**2
    return np.sqrt(np.diag(np.linalg.inv(information))[:2])


def arrays(found: dict) -> dict[str, np.ndarray]:
    """Derivatives as arrays of NumPy, on every backend."""
    return {name: keras.ops.convert_to_numpy(values) for name, values in found.items()}


def errors(network: keras.Model) -> dict[str, float]:
    """Relative errors in the L2 norm."""
    t = np.linspace(0, DURATION, 401, dtype="float32")[:, None]
    found = arrays(kc.derivatives(network, t, ["value", "jacobian", "laplacian"]))
    known = {"x": position(t), "ẋ": velocity(t), "ẍ": acceleration(t)}
    return {
        name: float(np.linalg.norm(np.ravel(a) - np.ravel(b)) / np.linalg.norm(b))
        for (name, b), a in zip(known.items(), found.values(), strict=True)
    }


def picture(learned: Learned) -> Figure:
    figure = Figure(figsize=(12.5, 4.9), layout="constrained", facecolor="white")
    figure.suptitle(
        "Damping and stiffness learned from noisy positions", fontsize=15, weight="bold"
    )
    motion, bending, constants = figure.subplots(1, 3)
    t, x = measure()
    motion.scatter(t, x, s=8, color=GREY, label=f"measured, noise {NOISE}")
    line = np.linspace(0, DURATION, 401, dtype="float32")[:, None]
    found = arrays(kc.derivatives(learned.network, line, ["value", "laplacian"]))
    motion.set_title(f"position, error {errors(learned.network)['x']:.1%}")
    bending.set_title(f"acceleration, error {errors(learned.network)['ẍ']:.1%}")
    known = {motion: position(line), bending: acceleration(line)}
    for (axes, truth), values in zip(known.items(), found.values(), strict=True):
        axes.plot(line, values, color=COLOUR, lw=2.5, alpha=0.9, label="learned")
        axes.plot(line, truth, "--", color=INK, lw=1.3, label="true")
        axes.set_xlabel("t")
        axes.legend(frameon=False, loc="upper right")
    draw_constants(constants, learned.path)
    return figure


def draw_constants(axes, path: np.ndarray) -> None:
    steps = STEPS * np.arange(len(path))
    for name, values, known, colour in zip(
        ("c / true c", "k / true k"),
        path.T,
        (DAMPING, STIFFNESS),
        ("#c2410c", "#6d28d9"),
        strict=True,
    ):
        axes.plot(
            steps, values / known, color=colour, lw=2.2, label=f"{name}: {values[-1] / known:.3f}"
        )
    axes.axhline(1, ls="--", color=INK, lw=1.3)
    axes.set_title("damping c and stiffness k")
    axes.set_xlabel("step of the optimizer")
    axes.legend(frameon=False)


def main(epochs: int = 30, out: Path = Path("logs/oscillator")) -> Path:
    learned = learn(epochs, out)
    print(f"{'':12s} {'learned':>9s} {'true':>7s} {'error':>8s} {'least possible scatter':>24s}")
    rows = zip(
        ("damping c", "stiffness k"),
        learned.constants,
        (DAMPING, STIFFNESS),
        standard_errors(),
        strict=True,
    )
    for name, found, known, scatter in rows:
        print(
            f"{name:12s} {found:9.4f} {known:7.4f} {found / known - 1:+8.2%} "
            f"{scatter / known:24.2%}"
        )
    print()
    for name, error in errors(learned.network).items():
        print(f"relative L2 error of {name}  {error:8.2%}")
    path = out / "oscillator.png"
    picture(learned).savefig(path, dpi=110)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("logs/oscillator"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
