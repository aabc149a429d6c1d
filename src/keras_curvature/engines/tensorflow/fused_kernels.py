"""Keras's fused kernels that have no second derivative, kept out of a trace."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras

_refused: ContextVar[bool] = ContextVar("refused", default=False)


@contextlib.contextmanager
def unfused(model: Any) -> Iterator[None]:
    """Has recurrent layers called here be traced as a loop over their steps.

    On a GPU Keras takes cuDNN's LSTM and GRU where it can, which TensorFlow differentiates once.
    Only a layer called from a function's closure with `use_cudnn=True` still insists on them.
    """
    _keras_asks_us()
    layers = model._flatten_layers() if isinstance(model, keras.Layer) else []
    insisting = [layer for layer in layers if getattr(layer, "use_cudnn", None) is True]
    token = _refused.set(True)
    try:
        for layer in insisting:
            layer.__dict__["use_cudnn"] = "auto"
        yield
    finally:
        _refused.reset(token)
        for layer in insisting:
            layer.__dict__["use_cudnn"] = True


@functools.cache
def _keras_asks_us() -> None:
    """Wraps Keras's question once and for all, so that other threads see no difference."""
    # By its name: the package has a function of the same name in its place.
    rnn: Any = importlib.import_module("keras.src.backend.tensorflow.rnn")
    original = rnn.cudnn_ok

    @functools.wraps(original)
    def cudnn_ok(*args: Any, **kwargs: Any) -> bool:
        return not _refused.get() and original(*args, **kwargs)

    rnn.cudnn_ok = cudnn_ok
