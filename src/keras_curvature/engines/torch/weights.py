"""The values of a model's variables in the computation at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras


def value_of(variable: Any) -> Any:
    """What a variable of Keras's or a tensor of a module has now."""
    return variable.value if isinstance(variable, keras.Variable) else variable


@contextmanager
def given(variables: Sequence[Any], values: Sequence[Any]) -> Iterator[None]:
    """Nothing is put in their place: PyTorch computes with the tensors that they have."""
    yield
