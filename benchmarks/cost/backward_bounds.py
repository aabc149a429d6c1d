"""How wide bounds of values are and what they take, beside IBP and CROWN of auto_LiRPA.

    KERAS_BACKEND=torch python benchmarks/cost/backward_bounds.py

The same networks by their weights, the same boxes, one thread on both sides, the best of a few
runs, in milliseconds of the processor for all boxes. CROWN is taken in float32, as it is used, and
in float64, as ours are, of which its widths are; neither counts what is rounded, as ours do.
Where `auto_LiRPA` or PyTorch is not installed (0.7.1 was taken; 0.3 needs names that NumPy 2 has no
more), it says so and prints ours alone, beside what is carried forwards. auto_LiRPA 0.7.1 has no
CROWN of softplus.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_curvature.enclosures import encloser
from keras_curvature.engines.api import Options

SHAPES = ((2, 32), (3, 64), (4, 64))
RADII = (0.01, 0.1, 0.3, 1.0)


def network(word: str, inputs: int, depth: int, width: int) -> keras.Model:
    """A random one, with weights that neither fade nor grow from layer to layer."""
    inside = [layers.Dense(width, word) for _ in range(depth)]
    model = keras.Sequential([keras.Input((inputs,)), *inside, layers.Dense(1)])
    rng = np.random.default_rng(5)
    gain = np.sqrt(2) if word == "relu" else 1.0
    for w in model.trainable_weights:
        scale = 0.1 if len(w.shape) == 1 else gain / np.sqrt(w.shape[0])
        w.assign(rng.normal(0, scale, w.shape).astype("float32"))
    return model


def timed(f: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The least milliseconds, and the result."""
    took = []
    for _ in range(repeats):
        begin = time.process_time()
        found = f()
        took.append(1e3 * (time.process_time() - begin))
    return min(took), found


class Peer:
    """auto_LiRPA's bounds of a network of ours."""

    def __init__(self) -> None:
        import torch
        from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

        self.torch, self.kinds = torch, (BoundedModule, BoundedTensor, PerturbationLpNorm)
        torch.set_num_threads(1)

    def bounds(
        self, model: keras.Model, word: str, low: np.ndarray, high: np.ndarray, dtype: str
    ) -> Callable[[str], tuple[np.ndarray, np.ndarray]]:
        """By method."""
        torch, (module, tensor, norm) = self.torch, self.kinds
        kinds = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid}
        parts: list[Any] = []
        for layer in model.layers:
            kernel, bias = (
                keras.ops.convert_to_numpy(w).astype(dtype) for w in (layer.kernel, layer.bias)
            )
            linear = torch.nn.Linear(*kernel.shape).to(getattr(torch, dtype))
            linear.weight.data, linear.bias.data = torch.tensor(kernel.T), torch.tensor(bias)
            parts += [linear] if layer is model.layers[-1] else [linear, kinds[word]()]
        ends = [torch.tensor(x.astype(dtype)) for x in (low, high)]
        net = module(torch.nn.Sequential(*parts), ends[0], device="cpu")
        box = tensor((ends[0] + ends[1]) / 2, norm(x_L=ends[0], x_U=ends[1]))

        def compute(method: str) -> tuple[np.ndarray, np.ndarray]:
            with torch.no_grad():
                lower, upper = net.compute_bounds(x=(box,), method=method)
            return lower.numpy(), upper.numpy()

        return compute


def main() -> None:
    """Prints a row for each network and radius."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boxes", type=int, default=1000)
    parser.add_argument("--inputs", type=int, default=4)
    parser.add_argument("--activations", default="relu,tanh,sigmoid,softplus")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    peer = None
    try:
        peer = Peer()
    except ImportError as error:
        print(f"No auto_LiRPA here ({error}); ours alone.")
    print("activation, network, radius: median widths; ours / CROWN, in the median and at most; ms")
    for word in asked.activations.split(","):
        for depth, width in SHAPES:
            model = network(word, asked.inputs, depth, width)
            for radius in RADII:
                middle = np.random.default_rng(0).uniform(-1, 1, (asked.boxes, asked.inputs))
                found = row(model, middle - radius, middle + radius, asked.repeats, word, peer)
                print(f"{word:8} {depth}x{width} {radius:5}: {found}", flush=True)


def row(
    model: keras.Model,
    low: np.ndarray,
    high: np.ndarray,
    repeats: int,
    word: str,
    peer: Peer | None,
) -> str:
    """Widths and times in words."""
    ours = encloser.encloser(model, low[:1], Options(dtype="float64"))
    took, (a, b) = timed(lambda: ours(low, high, ["value"])["value"], repeats)
    # As values are bounded along with derivatives.
    before, (c, d) = timed(lambda: ours._forwards(low, high, ["value"], None)["value"], repeats)
    widths = f"ours {np.median(b - a):.4g}, forwards {np.median(d - c):.4g}"
    spent = f"ours {took:.0f}, forwards {before:.0f}"
    if peer is not None and word != "softplus":
        precise = peer.bounds(model, word, low, high, "float64")
        alike, (e, f) = timed(lambda: precise("CROWN"), repeats)
        quick = peer.bounds(model, word, low, high, "float32")
        crown, _ = timed(lambda: quick("CROWN"), repeats)
        interval, (g, h) = timed(lambda: quick("IBP"), repeats)
        share = (b - a) / (f - e)
        widths += f", CROWN {np.median(f - e):.4g}, IBP {np.median(h - g):.4g}"
        widths += f"; {np.median(share):.6f}, {share.max():.4f}"
        spent += f", CROWN {crown:.0f} (in float64 {alike:.0f}), IBP {interval:.0f}"
    return f"{widths}; {spent}"


if __name__ == "__main__":
    main()
