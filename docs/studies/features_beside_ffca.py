"""Four numbers for each input, beside those of the package `ffca`, of one trained network.

    pip install ffca scipy torch
    KERAS_BACKEND=torch python docs/studies/features_beside_ffca.py

A Keras network is trained on a function of eight inputs of which it is known what each does, and
brought to PyTorch by its weights. `ffca` estimates from random probes what this library computes
exactly; both are compared with the whole Hessian in float64.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch
from ffca.adapters import TabularAdapter
from ffca.core import ARCHETYPE_NAMES, classify, compute_signature_core, regression
from ffca.improvements_pkg.cauchy_hvp import CauchyHVP

import keras_curvature as kc

NAMES = ["square", "left", "right", "line", "wave", "gate", "small", "none"]
POINTS, PROBES = 256, 256
NUMBERS = ("impact", "volatility", "nonlinearity", "interaction")


def data() -> tuple[np.ndarray, np.ndarray]:
    """Inputs of mean 0 and deviation 1 over the first points, and what they make."""
    x = np.random.default_rng(0).normal(size=(2000, len(NAMES)))
    x = ((x - x[:POINTS].mean(axis=0)) / x[:POINTS].std(axis=0)).astype("float32")
    square, left, right, line, wave, gate, small, _ = x.T
    y = square**2 + left * right + 2 * line + np.sin(2 * wave) + 1 / (1 + np.exp(-4 * gate))
    return x, (y + 0.1 * small)[:, None].astype("float32")


def trained(x: np.ndarray, y: np.ndarray) -> keras.Model:
    """A smooth network."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(32, "tanh") for _ in range(2)]
    model = keras.Sequential([keras.Input((x.shape[1],)), *hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    model.fit(x, y, epochs=20, batch_size=64, verbose=0)
    return model


def in_torch(model: keras.Model) -> torch.nn.Module:
    """The same network, by its weights."""
    parts: list[torch.nn.Module] = []
    for layer in model.layers:
        kernel, bias = (np.asarray(w) for w in layer.get_weights())
        linear = torch.nn.Linear(*kernel.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(kernel.T))
            linear.bias.copy_(torch.tensor(bias))
        parts += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*parts[:-1]).eval()


def truth(net: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    """All four from whole gradients and Hessians in float64, `(4, inputs)`."""
    net, points = net.double(), torch.tensor(x, dtype=torch.float64)

    def value(one: torch.Tensor) -> torch.Tensor:
        return net(one[None])[0, 0]

    slopes = torch.func.vmap(torch.func.grad(value))(points).numpy(force=True)
    hessians = torch.func.vmap(torch.func.hessian(value))(points).numpy(force=True)
    net.float()
    sizes = np.abs(hessians).mean(axis=0)
    bends = np.diag(sizes)
    return np.stack([np.abs(slopes).mean(0), slopes.var(0), bends, sizes.sum(1) - bends])


def by_ffca(net: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    """What the package estimates, with many more probes than it takes by itself."""
    adapter = TabularAdapter(net, feature_names=NAMES, scalar=regression())
    batches = [(torch.tensor(x), None)]
    torch.manual_seed(0)
    many = {"n_first_order_samples": len(x), "n_hessian_samples": len(x), "n_diag_probes": PROBES}
    impact, volatility, bends, _ = compute_signature_core(adapter, batches, **many)
    together, _ = CauchyHVP(n_probes=PROBES).estimate(adapter, [torch.tensor(x)], n_samples=len(x))
    return np.stack([impact, volatility, bends, np.asarray(together)])


def main() -> None:
    x, y = data()
    model = trained(x, y)
    probe = x[:POINTS]
    report = kc.CurvatureMonitor(probe, feature_names=NAMES).measure(model)[""]
    net = in_torch(model)
    with torch.no_grad():
        value = net(torch.tensor(probe)).numpy()
    apart = np.abs(value - keras.ops.convert_to_numpy(model(probe))).max()
    unit = np.array([value.std(), value.std() ** 2, value.std(), value.std()])[:, None]
    ours = np.array([report.profiles[name].numbers for name in NAMES]).T
    exact, theirs = truth(net, probe) / unit, by_ffca(net, probe) / unit
    print(f"The two networks differ by {apart:.1e} at most.\n")
    print("| number | keras-curvature is off by | ffca is off by |\n|---|---|---|")
    for i, name in enumerate(NUMBERS):
        off = [np.abs(found[i] / exact[i] - 1).max() for found in (ours, theirs)]
        print(f"| {name} | {off[0]:.1e} | {off[1]:.1e} |")
    print("\n| input | keras-curvature | ffca's rule on its estimates | on the truth |")
    print("|---|---|---|---|")
    rows = [[ARCHETYPE_NAMES[i] for i in classify(*found)] for found in (theirs, exact)]
    for i, name in enumerate(NAMES):
        print(f"| {name} | {report.profiles[name].archetype} | {rows[0][i]} | {rows[1][i]} |")


if __name__ == "__main__":
    main()
