"""On PyTorch: a standing wave in a square membrane, from its equation alone, in a plain loop.

    Δu + k² u = f on [0, 1]²,   u = 0 on the edge

Helmholtz's equation, driven so that the wave is u = sin(πx) sin(2πy). A `torch.nn.Module` learns
it from points alone, in the loop that everybody writes: batches of a `DataLoader`,
`loss.backward()`, `optimizer.step()`. `kc.laplacian` takes the module as it is and gives a tensor
that the gradient by the weights goes through. At the end the wave and its Laplacian are compared
with the closed forms.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # before Keras is imported

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.utils.data import DataLoader, TensorDataset

import keras_curvature as kc

K = 3.0  # wave number
POINTS, BATCH = 4096, 256


def wave(points: torch.Tensor) -> torch.Tensor:
    """The wave at points (x, y): `(n, 1)`."""
    x, y = points[:, :1], points[:, 1:]
    return torch.sin(torch.pi * x) * torch.sin(2 * torch.pi * y)


def bending(points: torch.Tensor) -> torch.Tensor:
    """Δu = -5 π² u, `(n, 1)`."""
    return -5 * torch.pi**2 * wave(points)


def force(points: torch.Tensor) -> torch.Tensor:
    """f, `(n, 1)`."""
    return bending(points) + K**2 * wave(points)


class Membrane(torch.nn.Module):
    """The network u(x, y), 0 on the edge by construction."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.network = torch.nn.Sequential(
            torch.nn.Linear(2, width),
            torch.nn.SiLU(),
            torch.nn.Linear(width, width),
            torch.nn.SiLU(),
            torch.nn.Linear(width, 1),
        )

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """At points (x, y): `(n, 1)`."""
        x, y = points[:, :1], points[:, 1:]
        edge = 16 * x * (1 - x) * y * (1 - y)
        return edge * self.network(2 * points - 1)


def solve(epochs: int) -> tuple[Membrane, list[float]]:
    """The network, and the loss of each epoch."""
    torch.manual_seed(0)
    u = Membrane()
    points = torch.rand(POINTS, 2)
    batches = DataLoader(TensorDataset(points, force(points)), batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.Adam(u.parameters(), 1e-2)
    steps = epochs * len(batches)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    print(" epoch   equation's loss")
    for epoch in range(epochs):
        total = 0.0
        for at, f in batches:
            optimizer.zero_grad()
            residual = kc.laplacian(u, at) + K**2 * u(at) - f
            loss = torch.mean(residual**2)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        losses.append(total / len(batches))
        if epoch % 5 == 4 or epoch == epochs - 1:
            print(f"{epoch + 1:6d}   {losses[-1]:15.2e}", flush=True)
    return u, losses


def grid(n: int) -> torch.Tensor:
    """Points inside, `(n * n, 2)`."""
    middle = (torch.arange(n) + 0.5) / n
    return torch.cartesian_prod(middle, middle)


def errors(u: Membrane) -> dict[str, float]:
    """Relative errors over the square, in the L2 norm."""
    points = grid(64)
    with torch.no_grad():  # numbers alone
        found = kc.derivatives(u, points, ["value", "laplacian"])
    known = {"u": wave(points), "Δu": bending(points)}
    return {
        name: float(torch.linalg.norm(a - b) / torch.linalg.norm(b))
        for (name, b), a in zip(known.items(), found.values(), strict=True)
    }


def picture(u: Membrane, losses: list[float]) -> Figure:
    figure = Figure(figsize=(12.5, 4.2), layout="constrained", facecolor="white")
    figure.suptitle("A standing wave, learned from Δu + k² u = f alone, on PyTorch", fontsize=14)
    left, middle, right = figure.subplots(1, 3)
    points = grid(64)
    with torch.no_grad():
        second = kc.laplacian(u, points)
    for axes, values, title in (
        (left, second, "Δu of the network"),
        (middle, second - bending(points), "its error"),
    ):
        values = np.asarray(values).reshape(64, 64).T
        bound = np.max(np.abs(values))
        image = axes.imshow(
            values, extent=(0, 1, 0, 1), origin="lower", cmap="RdBu_r", vmin=-bound, vmax=bound
        )
        figure.colorbar(image, ax=axes)
        axes.set_title(title)
        axes.set_xlabel("x")
        axes.set_ylabel("y")
    right.plot(np.arange(len(losses)) + 1, losses, color="#6d28d9", lw=2.5)
    right.set_yscale("log")
    right.set_title("the equation's loss")
    right.set_xlabel("epoch")
    return figure


def main(epochs: int = 15, out: Path = Path("logs/helmholtz")) -> Path:
    u, losses = solve(epochs)
    for name, error in errors(u).items():
        print(f"relative L2 error of {name} over the square: {error:.2%}")
    out.mkdir(parents=True, exist_ok=True)
    path = out / "helmholtz.png"
    picture(u, losses).savefig(path, dpi=110)
    print(f"\nPicture:  {path}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("logs/helmholtz"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
