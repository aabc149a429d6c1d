"""DeepXDE on its TensorFlow backend: the training step that it compiles itself."""

from __future__ import annotations

import os

os.environ["DDE_BACKEND"] = "tensorflow"

from collections.abc import Callable, Iterable
from typing import Any

import deepxde
import tensorflow as tf

from benchmarks.race.contenders import XLA
from benchmarks.race.networks import Mlp
from benchmarks.race.work import RATE, Work


class Points(deepxde.data.Data):
    """The points of `work`, and its loss."""

    def __init__(self, work: Work) -> None:
        """Takes the points as they are, and no boundary."""
        self._x = work.x()
        self._source, self._target = (part[:, None] for part in work.source_and_target())

    def losses(
        self, targets: Any, outputs: Any, loss_fn: Any, inputs: Any, model: Any, aux: Any = None
    ) -> list[tf.Tensor]:
        """Two parts, of the Laplacian and of the value."""
        d = inputs.shape[1]
        laplacian = sum(deepxde.grad.hessian(outputs, inputs, i=i, j=i) for i in range(d))
        mean = tf.reduce_mean
        return [mean((laplacian - self._source) ** 2), mean((outputs - targets) ** 2)]

    def train_next_batch(self, batch_size: int | None = None) -> tuple:
        """All points."""
        return self._x, self._target, None

    def test(self) -> tuple:
        """The same."""
        return self.train_next_batch()


class Kept(tf.keras.optimizers.Optimizer):
    """Gradient descent that hands the gradients out."""

    def __init__(self, weights: list[tf.Variable]) -> None:
        """Takes the weights whose gradients are kept."""
        super().__init__(learning_rate=0.0)
        self.gradients = [tf.Variable(tf.zeros_like(weight)) for weight in weights]

    def apply_gradients(self, grads_and_vars: Iterable[tuple[tf.Tensor, tf.Variable]]) -> None:
        """What DeepXDE calls."""
        for kept, (gradient, weight) in zip(self.gradients, grads_and_vars, strict=True):
            kept.assign(gradient)
            weight.assign_sub(RATE * gradient)


def prepare(work: Work, recipe: str, mode: str) -> Callable[[], object]:
    """See `benchmarks.race.peers`."""
    assert isinstance(work.network, Mlp)
    if mode == XLA:
        deepxde.config.enable_xla_jit(True)
    net = deepxde.nn.FNN(list(work.network.widths), "tanh", "Glorot uniform")
    data = Points(work)
    model = deepxde.Model(data, net)
    x, target, _ = (None if part is None else tf.constant(part) for part in data.test())
    net(x[:2])
    net.set_weights(work.network.weights())
    optimizer = Kept(net.trainable_variables)
    model.compile(optimizer, verbose=0)
    model.outputs(False, x[:2])

    def step() -> list[tf.Variable]:
        model.train_step(x, target, None)
        return optimizer.gradients

    return step
