"""Sunspots: in which of the past years does a forecast bend?

statsmodels' bundled yearly sunspot numbers, 1700 to 2008. An LSTM reads 33 years and forecasts
the next one. Its second derivatives say where it is more than a weighted sum of the past: along
which years, and at which phase of the eleven-year cycle.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import shlex
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure
from statsmodels.datasets import sunspots

import keras_curvature as kc

YEARS = 33  # three cycles
HELD_BACK = 60
UNIT = 100.0  # sunspots
BLUE, ORANGE, GREY, INK = "#0072b2", "#d55e00", "#9ca3af", "#111827"


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows `(n, YEARS, 1)`, the number after each `(n, 1)`, and its year."""
    data = sunspots.load_pandas().data
    numbers = data["SUNACTIVITY"].to_numpy("float32") / UNIT
    windows = np.lib.stride_tricks.sliding_window_view(numbers, YEARS)[:-1, :, None]
    return windows.copy(), numbers[YEARS:, None], data["YEAR"].to_numpy(int)[YEARS:]


def build() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((YEARS, 1)), keras.layers.LSTM(24), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    return model


def watch(epochs: int, out: Path) -> tuple[keras.Model, kc.CurvatureMonitor]:
    x, y, _ = load()
    model = build()
    monitor = kc.CurvatureMonitor(
        (x[-HELD_BACK:], y[-HELD_BACK:]),
        log_dir=out,
        units="raw",
        feature_names=[f"{back} year{'s' * (back > 1)} before" for back in range(YEARS, 0, -1)],
        freq=5,
    )
    model.fit(
        x[:-HELD_BACK], y[:-HELD_BACK], epochs=epochs, batch_size=32, verbose=0, callbacks=[monitor]
    )
    return model, monitor


def arrays(found: dict) -> dict[str, np.ndarray]:
    """Derivatives as arrays of NumPy, on every backend."""
    return {name: keras.ops.convert_to_numpy(values) for name, values in found.items()}


def picture(model: keras.Model) -> Figure:
    x, y, year = (part[-HELD_BACK:] for part in load())
    found = arrays(kc.derivatives(model, x, ["value", "jacobian", "hessian_diagonal", "laplacian"]))
    value, slope, bend, sum_of_bends = found.values()
    figure = Figure(figsize=(12.5, 7.2), layout="constrained", facecolor="white")
    figure.suptitle("A forecast of sunspots, and where it bends", fontsize=15, weight="bold")
    (forecast, along), (when, heat) = figure.subplots(2, 2, width_ratios=(1.5, 1))
    forecast.plot(year, UNIT * y, color=INK, lw=1.3, label="sunspots")
    forecast.plot(year, UNIT * value, color=BLUE, lw=2, label="forecast from the years before")
    forecast.set(title="held-back years", ylabel="sunspots")
    forecast.legend(frameon=False, ncols=2)
    when.axhline(0, color=GREY, lw=1)
    when.fill_between(year, sum_of_bends[:, 0], color=ORANGE, alpha=0.35, lw=0)
    when.plot(year, sum_of_bends[:, 0], color=ORANGE, lw=1.6)
    when.set(title="sum of the second derivatives along all past years", xlabel="year",
             ylabel="per 100 sunspots")  # fmt: skip
    before = np.arange(YEARS, 0, -1)
    along.bar(before, np.abs(bend).mean(axis=(0, 1, 3)), color=ORANGE, label="|second derivative|")
    along.plot(before, np.abs(slope).mean(axis=(0, 1, 3)), "o-", ms=3, color=BLUE, label="|slope|")
    along.set(title="mean along each of the past years", xlim=(YEARS + 1, 0),
              xlabel="years before")  # fmt: skip
    along.legend(frameon=False)
    height = float(np.abs(bend[:, 0, -12:, 0]).max())
    painted = heat.imshow(
        bend[:, 0, -12:, 0].T, cmap="RdBu_r", vmin=-height, vmax=height, aspect="auto",
        extent=(year[0], year[-1], 0.5, 12.5), interpolation="nearest",
    )  # fmt: skip
    heat.set(title="second derivative along the last 12", xlabel="year", ylabel="years before")
    figure.colorbar(painted, ax=heat)
    return figure


def main(epochs: int = 60, out: Path = Path("logs/sunspots")) -> Path:
    model, monitor = watch(epochs, out)
    history = monitor.history
    print("epoch  R2 on held-back years  rms curvature  share of interactions")
    for i in range(0, len(history["step"]), max(1, len(history["step"]) // 6)):
        print(
            f"{history['step'][i]:5d}  {history['r2'][i]:22.3f}  {history['rms'][i]:13.3f}  "
            f"{history['interaction_fraction'][i]:21.2f}"
        )
    print()
    monitor.summary()
    path = out / "sunspots.png"
    picture(model).savefig(path, dpi=110)
    monitor.plot(picture="examples").savefig(out / "examples.png")
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("logs/sunspots"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
