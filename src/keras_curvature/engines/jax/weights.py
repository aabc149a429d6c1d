"""The values of Keras's variables in the computation at hand, where they are arguments of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_given: ContextVar[Mapping[int, Any]] = ContextVar("given")
"""By the identity of a variable its value."""


def value_of(variable: Any) -> Any:
    """What a variable has in the computation at hand, or now."""
    found = _given.get({}).get(id(variable))
    return variable.value if found is None else found


@contextmanager
def given(variables: Sequence[Any], values: Sequence[Any]) -> Iterator[None]:
    """Variables have these values for as long as this lasts."""
    with _set({**_given.get({}), **dict(zip(map(id, variables), values, strict=True))}):
        yield


@contextmanager
def as_keras_has_them() -> Iterator[None]:
    """None is given: for a trace, which is kept, of a model whose values Keras's scopes have."""
    with _set({}):
        yield


@contextmanager
def _set(values: Mapping[int, Any]) -> Iterator[None]:
    token = _given.set(values)
    try:
        yield
    finally:
        _given.reset(token)
