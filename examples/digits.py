"""Handwritten digits: the curvature of a convolutional network falls, its accuracy does not.

scikit-learn's bundled digits, 1797 images of 8 x 8 pixels. A network learns to read them, and
goes on learning twice: as before, and with `kc.CurvaturePenalty`. The monitor watches the
curvature of its ten logits, from 8 random directions at each of 64 held-back digits.
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
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_curvature as kc

PENALTIES = {"plain": 0.0, "penalised": 10.0}
COLOURS = {"plain": "#c2410c", "penalised": "#0f766e"}
GREY = "#9ca3af"
NOISE = 0.3  # of what a pixel can be
PROBE, SHOWN = 64, 6


def load() -> list[np.ndarray]:
    """Training x, test x, training y, test y; pixels from 0 to 1."""
    data = load_digits()
    images = (data.images[..., None] / 16).astype("float32")
    return train_test_split(images, data.target, test_size=0.3, random_state=0)


def build() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, padding="same", activation="silu"),
            keras.layers.Conv2D(32, 3, strides=2, activation="silu"),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="silu"),
            keras.layers.Dense(10),
        ]
    )


@dataclass(frozen=True)
class Reader:
    """A network that reads digits, what the monitor saw, and its accuracy by epoch."""

    network: keras.Model
    monitor: kc.CurvatureMonitor
    accuracy: list[float]


def train(network: keras.Model, penalty: float, epochs: int, out: Path) -> Reader:
    x, x_test, y, y_test = load()
    model = network
    if penalty:
        layer = kc.CurvaturePenalty(network, penalty, seed=0)
        model = keras.Sequential([keras.Input((8, 8, 1)), layer])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    # A unit of every pixel is the same, as it is to the penalty.
    monitor = kc.CurvatureMonitor(x_test[:PROBE], log_dir=out, units="raw", directions=8)
    fit = model.fit(
        x,
        y,
        validation_data=(x_test, y_test),
        epochs=epochs,
        batch_size=64,
        verbose=0,
        callbacks=[monitor],
    )
    return Reader(network, monitor, fit.history["val_accuracy"])


def train_all(epochs: int, out: Path) -> dict[str, Reader]:
    """The first network, and from there on one without and one with the penalty."""
    first = train(build(), 0.0, epochs, out / "first")
    readers = {"first": first}
    for kind, penalty in PENALTIES.items():
        network = build()
        network.set_weights(first.network.get_weights())
        readers[kind] = train(network, penalty, epochs, out / kind)
    return readers


def accuracy_in_noise(network: keras.Model) -> float:
    """Accuracy on held-back digits to which noise was added."""
    _, x, _, y = load()
    noisy = x + NOISE * np.random.default_rng(0).normal(size=x.shape)
    return float(np.mean(keras.ops.convert_to_numpy(network(noisy)).argmax(axis=1) == y))


def picture(readers: dict[str, Reader]) -> Figure:
    figure = Figure(figsize=(12.5, 5.0), layout="constrained", facecolor="white")
    figure.suptitle("As accurate, and far less curved", fontsize=15, weight="bold")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.6))
    curvature, accuracy = left.subplots(2, 1, sharex=True)
    start = len(readers["first"].accuracy)
    for kind, reader in readers.items():
        style = {"color": COLOURS.get(kind, GREY), "lw": 2.2, "label": kind}
        before = 0 if kind == "first" else start
        history = reader.monitor.history
        epoch = before + np.array(history["step"])
        rms, error = (np.array(history[key]) for key in ("rms", "rms_standard_error"))
        curvature.plot(epoch, rms, **style)
        band = {"color": style["color"], "alpha": 0.2, "lw": 0}
        curvature.fill_between(epoch, rms - error, rms + error, **band)
        accuracy.plot(before + 1 + np.arange(len(reader.accuracy)), reader.accuracy, **style)
    curvature.set(title="the monitor's rms curvature, and its standard error", yscale="log")
    accuracy.set(title="accuracy on held-back digits", xlabel="epoch", ylim=(0.9, 1.0))
    for axes in (curvature, accuracy):
        axes.axvline(start, color=GREY, lw=1, ls=":")
        axes.legend(frameon=False, loc="lower right")
    _maps(right, readers)
    return figure


def _maps(figure: Figure, readers: dict[str, Reader]) -> None:
    """Some digits, and where the margin between the two best classes bends."""
    x = load()[1][:SHOWN]
    bends = {
        kind: keras.ops.convert_to_numpy(
            kc.hessian_diagonal(readers[kind].network, x, output="margin")
        )[:, 0, ..., 0]
        for kind in PENALTIES
    }
    height = float(np.percentile(np.abs(bends["plain"]), 99.5))
    figure.suptitle("second derivative of the margin along each pixel", fontsize=12)
    axes = figure.subplots(3, SHOWN)
    for i in range(SHOWN):
        axes[0, i].imshow(x[i, ..., 0], cmap="gray_r")
        for row, kind in ((1, "plain"), (2, "penalised")):
            painted = axes[row, i].imshow(bends[kind][i], cmap="RdBu_r", vmin=-height, vmax=height)
            axes[row, 0].set_ylabel(kind, fontsize=11, color=COLOURS[kind])
    for panel in axes.flat:
        panel.set(xticks=[], yticks=[])
    figure.colorbar(painted, ax=axes, orientation="horizontal", shrink=0.5, aspect=40, pad=0.03)


def main(epochs: int = 12, out: Path = Path("logs/digits")) -> Path:
    readers = train_all(epochs, out)
    print(f"{'':10s}  accuracy  in noise of {NOISE}  rms curvature  its standard error")
    for kind, reader in readers.items():
        history = reader.monitor.history
        print(
            f"{kind:10s}  {reader.accuracy[-1]:8.3f}  {accuracy_in_noise(reader.network):15.3f}"
            f"  {history['rms'][-1]:13.3f}  {history['rms_standard_error'][-1]:18.3f}"
        )
    print()
    readers["penalised"].monitor.summary()
    path = out / "digits.png"
    picture(readers).savefig(path, dpi=110)
    for kind in PENALTIES:
        readers[kind].monitor.plot(picture="examples").savefig(out / f"{kind}.png")
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("logs/digits"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
