"""Words and numbers for people: rounded, listed, wrapped, on one line."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

WIDTH = 88
"""Columns of a terminal that text is wrapped to."""


def moment(step: int) -> str:
    """When a report was taken: `"before training"`, `"epoch 3"` or `"now"`."""
    if step < 0:
        return "now"
    return "before training" if step == 0 else f"epoch {step}"


def formatted(number: float) -> str:
    """A number in at most 10 characters.

    Example:
        >>> [formatted(n) for n in (0.0, 1.99712, -1234567.0, float("nan"))]
        ['0', '1.997', '-1.235e+06', 'nan']
    """
    return f"{number:.4g}"


def percent(share: float) -> str:
    """A share as per cent, without claiming 100 % or 0 % when it is not.

    Example:
        >>> [percent(share) for share in (0.0, 0.001, 0.5, 0.9999, 1.0)]
        ['none', 'almost none', '50 %', 'over 99 %', '100 %']
    """
    rounded = round(100 * share)
    if rounded in (0, 100) and share not in (0.0, 1.0):
        return "almost none" if rounded == 0 else "over 99 %"
    return "none" if share == 0 else f"{rounded} %"


def listed(words: Sequence[str], most: int = 4) -> str:
    """Words as a list in a sentence, the last ones counted where there are too many.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a", "b", "c", "d", "e", "f"])
        ('a, b and c', 'a, b, c and 3 more')
    """
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def plain(text: str, limit: int | None = None) -> str:
    r"""Text on one line without control characters, shortened to `limit` characters.

    Names come from data: they must not break a line, move a terminal's cursor or turn the
    direction of writing. What is too long loses its middle: names often differ at the end.

    Example:
        >>> plain("mean\nbody\x1b mass index", limit=12)
        'mean bo…ndex'
    """
    spaced = " ".join(text.split())
    kept = "".join(c for c in spaced if unicodedata.category(c)[0] != "C")
    if limit is None or len(kept) <= limit:
        return kept
    tail = limit // 3
    return f"{kept[: limit - 1 - tail]}…{kept[-tail:]}"


def wrapped(text: str, start: str = "") -> list[str]:
    """Lines of at most `WIDTH` columns; all but the first are indented as far as `start`."""
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start)) or [
        start.rstrip()
    ]
