"""Second derivatives on Keras's PyTorch backend: this library beside what PyTorch's users write.

    python -m benchmarks.cost.on_torch [--only PATTERN]

In an environment with PyTorch (`make bench-torch`), and jet-for-pytorch where there is one for
it; writes benchmarks/ON_TORCH.md, or prints some rows of it. The race's networks, weights, points
and directions, as plain functions of tensors for the peers, eager and compiled; the best of some
calls in turns, in each of two processes. A ratio above 1 says how many times faster, or smaller,
this library is, which is called as it is.

`loop` is a gradient for each output, differentiated again for each input, as tape loops do it, by
`torch.autograd.grad` for the whole batch at once. Memory is what a call adds to the process at
its peak, the most of five calls, on Linux.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_curvature as kc
from benchmarks.cost import beside_peers
from benchmarks.cost.beside_peers import Row, apart, row
from benchmarks.race import work as works
from benchmarks.race.networks import Transformer
from benchmarks.race.peers import keras_networks
from benchmarks.race.work import Work

ROUNDS = 15
RESULTS = Path(__file__).parents[1] / "ON_TORCH.md"

PEERS = {
    "func eager": "torch.func",
    "func compiled": "torch.func, compiled",
    "loop": "loop of autograd.grad",
    "jet eager": "jet",
    "jet compiled": "jet, compiled",
}
"""Ways of the peers, with the heads of their columns."""

WORKS = [*works.EXACT, *works.TRACES, *works.STEPS]


def ours(work: Work, model: keras.Model) -> dict[str, Callable[[], Any]]:
    """This library as it is called."""
    import torch

    x = torch.tensor(work.x())
    if work.quantity == works.STEP:
        source, target = map(torch.tensor, work.source_and_target())
        weights = [weight.value for weight in model.weights]

        def step() -> Any:
            found = kc.derivatives(model, x, ["value", "laplacian"])
            apart = found["laplacian"][:, 0] - source, found["value"][:, 0] - target
            loss = sum((part**2).mean() for part in apart)
            gradients = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight -= works.RATE * gradient
            return gradients

        return {"called": step}
    if work.quantity == works.TRACE:
        return {"own directions": partial(kc.laplacian, model, x, directions=works.DIRECTIONS)}
    name = "hessian_diagonal" if work.quantity == works.DIAGONAL else work.quantity
    return {"called": partial(getattr(kc, name), model, x)}


def peers(work: Work) -> dict[str, Callable[[], Any]]:
    """How it is done by hand on PyTorch: what there is for this work."""
    from benchmarks.race.peers import torch_func

    found = {f"func {mode}": partial(torch_func.prepare, work, "", mode) for mode in MODES}
    if importlib.util.find_spec("jet") and work.quantity != works.HESSIAN:
        from benchmarks.race.peers import torch_jet

        if not isinstance(work.network, Transformer):  # there is no rule for its layer norm
            found |= {f"jet {mode}": partial(torch_jet.prepare, work, "", mode) for mode in MODES}
    ready = {name: prepare() for name, prepare in found.items()}
    if work.quantity in (works.LAPLACIAN, works.DIAGONAL, works.HESSIAN):
        ready["loop"] = loop(work)
    return ready


MODES = ("eager", "compiled")


def loop(work: Work) -> Callable[[], Any]:
    """`torch.autograd.grad` of a gradient, an input after the other."""
    import torch

    from benchmarks.race.peers.torch_networks import tensor_of, value_of, weights_of

    network, weights = value_of(work.network), weights_of(work.network)

    def rows() -> Any:
        with torch.enable_grad():
            x = tensor_of(work, work.x()).requires_grad_()
            (gradient,) = torch.autograd.grad(network(weights, x).sum(), x, create_graph=True)
            parts = [
                torch.autograd.grad(gradient[:, i].sum(), x, retain_graph=True)[0]
                for i in range(x.shape[1])
            ]
        if work.quantity == works.HESSIAN:
            return torch.stack(parts, dim=1)
        diagonal = torch.stack([part[:, i] for i, part in enumerate(parts)], dim=1)
        return diagonal if work.quantity == works.DIAGONAL else diagonal.sum(dim=1)

    return rows


def without_gradients(work: Work, call: Callable[[], Any]) -> Callable[[], Any]:
    """A call as for numbers alone, but for a step of training."""
    import torch

    return call if work.quantity == works.STEP else torch.no_grad()(call)


def agree(work: Work, calls: dict[str, Callable[[], Any]]) -> None:
    """Raises AssertionError where somebody is fast at something else."""
    if work.quantity in (works.TRACE, works.STEP):  # other directions; weights that move
        return
    found = {name: np.ravel(call().numpy()) for name, call in calls.items()}
    whole = found.pop("called")
    for name, other in found.items():
        off = np.abs(other - whole).max() / np.abs(whole).max()
        assert off < 1e-3, f"{name} is {off:.1e} off"


def times(index: int) -> dict[str, float]:
    """Milliseconds of a work of `WORKS`, by way; to be called in a process of its own."""
    work = WORKS[index]
    calls = {
        name: without_gradients(work, call)
        for name, call in (ours(work, keras_networks.build(work.network)) | peers(work)).items()
    }
    agree(work, calls)
    return beside_peers.milliseconds(calls, ROUNDS)


def taken(points: int) -> dict[str, float]:
    """Mebibytes of a Laplacian of 64 inputs, by way; to be called in a process of its own."""
    work = works.mlp(works.LAPLACIAN, 64, points)
    calls = ours(work, keras_networks.build(work.network)) | peers(work)
    return {
        name: beside_peers.mebibytes(without_gradients(work, call)) for name, call in calls.items()
    }


def measured(index: int, title: str) -> Row:
    """A row of the better one of two processes."""
    found = beside_peers.best_of_two("on_torch", f"times({index})")
    return row(title, found, found.keys() - PEERS.keys(), "ms", PEERS)


def memory(points: int, title: str) -> Row:
    """Mebibytes, where what is freed goes back at once: else a call finds room left by another."""
    found = apart("on_torch", f"taken({points})", MALLOC_MMAP_THRESHOLD_="65536")
    return row(title, found, ["called"], "MiB", PEERS)


def tasks() -> Iterator[beside_peers.Task]:
    """All rows."""
    for index, work in enumerate(WORKS):
        yield work.title, partial(measured, index)
    for points in (128, 4096):
        yield f"Peak memory, Laplacian, 64 inputs, {points:,} points", partial(memory, points)


def main() -> None:
    """Measures, prints, and writes the table."""
    import torch

    versions = f"PyTorch {torch.__version__}, Keras {keras.__version__}, {os.cpu_count()} CPU cores"
    about, introduction = "Second derivatives on PyTorch.", INTRODUCTION.format(versions)
    beside_peers.write_table(about, tasks(), PEERS.values(), RESULTS, introduction)


INTRODUCTION = """# On Keras's PyTorch backend

Written by `make bench-torch`: {}. What this library takes, called as it is, and how many times as
long, or as much memory, the others take; more than 1 is slower. *torch.func* is
`vmap(hessian(f))`, *loop* `torch.autograd.grad` of a gradient for each input, *jet*
jet-for-pytorch. *Own directions* are those that `kc.laplacian(..., directions=8)` draws. Steps of
training move the weights.
"""


if __name__ == "__main__":
    main()
