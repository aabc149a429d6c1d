"""The ways of a backend that are surveyed, under the names by which `kc.verify` takes them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import keras
import numpy as np

SURVEYED = {
    "tensorflow": (
        "tape in tape",
        "tape in tape in tf.function",
        "tape in tape under XLA",
        "tensorflow forward over reverse",
        "tensorflow forward over forward",
        "tape in tape with batch_jacobian",
    ),
    "jax": (
        "jax.hessian",
        "jax reverse over reverse",
        "jax forward over forward",
        "jax.experimental.jet",
    ),
    "torch": (
        "torch.func.hessian",
        "torch double backward",
        "torch forward over reverse",
        "torch reverse over reverse",
        "torch forward over forward",
    ),
}
"""Of each order of modes one, and what compiles or vectorises it.

`jax.hessian` is forward over reverse; `jvp` of `grad` said the same in all of 1,994 cases.
"""

Asked = Callable[[Callable[[Any], Any], np.ndarray, np.ndarray], np.ndarray]


def ways() -> Mapping[str, Asked]:
    """From `f`, points and directions `(n, d)` to second derivatives `(n,)`."""
    backend = keras.config.backend()
    known = import_module(f"keras_curvature.engines.{backend}.ways").WAYS
    asked = {way.name: _of(way) for way in known if way.name in SURVEYED[backend]}
    return {**asked, **_TapesInGraph().ways()} if backend == "tensorflow" else asked


def _of(way: Any) -> Asked:
    def ask(f: Callable[[Any], Any], z: np.ndarray, v: np.ndarray) -> np.ndarray:
        with _small_functions() if "forward" in way.name else contextlib.nullcontext():
            return way.along(compiled(f), z, v)

    return ask


class _TapesInGraph:
    """A tape in a tape as `tf.function`, traced once for being run as it is and under XLA."""

    def __init__(self) -> None:
        self._traced: tuple[Callable[[Any], Any], np.ndarray, Any] | None = None

    def ways(self) -> Mapping[str, Asked]:
        """Both, under their names."""
        return {
            "tape in tape in tf.function": functools.partial(self._ask, jit_compile=False),
            "tape in tape under XLA": functools.partial(self._ask, jit_compile=True),
        }

    def _ask(
        self, f: Callable[[Any], Any], z: np.ndarray, v: np.ndarray, *, jit_compile: bool
    ) -> np.ndarray:
        import tensorflow as tf

        traced = self._trace(f, z, v)

        @tf.function(autograph=False, jit_compile=True)
        def stacked(x: Any, v: Any) -> Any:
            return traced(x, v)

        run = stacked if jit_compile else traced
        return np.asarray(run(tf.constant(z), tf.constant(v)))

    def _trace(self, f: Callable[[Any], Any], z: np.ndarray, v: np.ndarray) -> Any:
        import tensorflow as tf

        from keras_curvature.engines.tensorflow.ways import reverse_over_reverse

        if self._traced is None or self._traced[0] is not f or self._traced[1] is not z:
            second = tf.function(lambda x, v: reverse_over_reverse(f, x, v, 1)[0], autograph=False)
            concrete = second.get_concrete_function(tf.constant(z), tf.constant(v))
            self._traced = f, z, concrete
        return self._traced[2]


@contextlib.contextmanager
def _small_functions() -> Iterator[None]:
    """Without graph optimisation: TensorFlow's forward mode makes a function of every operation."""
    if keras.config.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


def compiled(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """On JAX under `jax.jit`, as models are: else each operation is a program of its own."""
    if keras.config.backend() != "jax":
        return f
    import jax

    def call(x: Any) -> Any:
        with keras.StatelessScope():  # else what a layer draws from would keep a tracer
            return f(x)

    return jax.jit(call)


def often_called(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """On JAX and TensorFlow compiled, for its values; as it is where a graph cannot have it."""
    if keras.config.backend() != "tensorflow":
        return compiled(f)
    import tensorflow as tf

    run = tf.function(f, autograph=False)

    def call(x: Any) -> Any:
        nonlocal run
        try:
            return run(x)
        except Exception:
            run = f
            return f(x)

    return call


def gradient(f: Callable[[Any], Any], z: np.ndarray) -> np.ndarray:
    """The backend's first derivatives of `f`, `(n, d)`."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.constant(z)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = f(x)
        return np.asarray(tape.gradient(y, x, unconnected_gradients="zero"))
    if keras.config.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: f(x).sum())(jax.numpy.asarray(z)))
    import torch

    x = torch.from_numpy(z).requires_grad_()
    (found,) = torch.autograd.grad(f(x).sum(), x, allow_unused=True, materialize_grads=True)
    return found.numpy()
