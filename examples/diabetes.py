"""Which features does a regression bend in, and which pairs interact?

scikit-learn's bundled diabetes data: 442 patients, 10 named and standardised features, and
the progression of the disease a year later. A small SiLU network learns it; the monitor
says where the learned function is curved, and how it is on patients that were held back.
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
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import keras_curvature as kc


def load() -> tuple[list[np.ndarray], list[str]]:
    """Training x, test x, training y, test y, all standardised; and the features' names."""
    data = load_diabetes()
    x = StandardScaler().fit_transform(data.data).astype("float32")
    y = StandardScaler().fit_transform(data.target[:, None]).astype("float32")
    return train_test_split(x, y, test_size=0.25, random_state=0), list(data.feature_names)


def build(inputs: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(64, activation="silu"),
            keras.layers.Dense(64, activation="silu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    return model


def strongest_pairs(monitor: kc.CurvatureMonitor, names: list[str], count: int) -> list[str]:
    """The pairs with the largest mean |mixed second derivative|."""
    size = monitor.reports[""].interactions
    pairs = [(size[i, j], i, j) for i in range(len(names)) for j in range(i)]
    return [f"{names[j]} x {names[i]}: {value:.3f}" for value, i, j in sorted(pairs)[::-1][:count]]


def main(epochs: int = 60, out: Path = Path("logs/diabetes")) -> Path:
    (x, x_test, y, y_test), names = load()
    model = build(len(names))
    monitor = kc.CurvatureMonitor((x_test, y_test), log_dir=out, feature_names=names)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=10)
    model.fit(
        x,
        y,
        validation_data=(x_test, y_test),
        epochs=epochs,
        verbose=0,
        callbacks=[monitor, stop],
    )
    print("epoch  R2 on held-back patients  rms curvature  share of interactions")
    history = monitor.history
    for i in range(0, len(history["step"]), max(1, len(history["step"]) // 8)):
        print(
            f"{history['step'][i]:5d}  {history['r2'][i]:25.3f}  {history['rms'][i]:13.3f}  "
            f"{history['interaction_fraction'][i]:21.2f}"
        )
    features = monitor.reports[""].features
    ranked = sorted(features, key=features.__getitem__, reverse=True)
    print("\nBends most in:  ", ", ".join(f"{n} ({features[n]:.3f})" for n in ranked[:4]))
    print("Bends least in: ", ", ".join(f"{n} ({features[n]:.3f})" for n in ranked[-3:]))
    print("Interact most:  ", "; ".join(strongest_pairs(monitor, names, 4)))
    print()
    monitor.summary()
    path = out / "diabetes.png"
    monitor.plot().savefig(path)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("logs/diabetes"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
