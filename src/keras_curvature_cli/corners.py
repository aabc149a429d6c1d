"""Reads the corners of a box and what is claimed over it from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_curvature_cli.faults import UnusableError


def corner(option: str, text: str) -> float | list[float] | dict[str, float]:
    """A corner: `0.6`, `0.6,0.1` or `strike=0.6,volatility=0.1`.

    Raises:
        UnusableError: for what is no number, and for names of some only.
    """
    parts = [part.strip() for part in text.split(",")]
    named = [part.partition("=") for part in parts]
    if all(mark for _, mark, _ in named):
        return {name.strip(): _number(option, number) for name, _, number in named}
    if any(mark for _, mark, _ in named):
        raise UnusableError(f"{option} must name all of its numbers, or none. Received: {text!r}.")
    numbers = [_number(option, part) for part in parts]
    return numbers[0] if len(numbers) == 1 else numbers


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UnusableError(
            f"{option} must be numbers with commas between, one for each input, as 0.6,0.1 or "
            f"strike=0.6,volatility=0.1. Received: {text!r}."
        ) from None


def claims(given: Sequence[str]) -> str | dict[Any, list[Any]]:
    """What is claimed, as `prove` takes it.

    Args:
        given: the option, as often as it was given: `strike=convex,5`, `spot+strike=convex` of
            several inputs at once, `convex` of all.

    Raises:
        UnusableError: for a word without an input beside others.
    """
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    found: dict[Any, list[Any]] = {}
    for text in given:
        name, mark, words = text.rpartition("=")
        if not mark:
            raise UnusableError(
                "--shape must be an input and a word, as strike=convex; a word alone, of all "
                f"inputs at once, goes without others. Received: {text!r}."
            )
        inputs = [_index_or_name(part) for part in name.split("+")]
        key = inputs[0] if len(inputs) == 1 else tuple(inputs)
        found.setdefault(key, []).extend(_word_or_number(word) for word in words.split(","))
    return found


def _index_or_name(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text


def _word_or_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text.strip()
