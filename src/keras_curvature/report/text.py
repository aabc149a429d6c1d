"""Words and numbers for people: rounded, listed, wrapped, on one line."""

from __future__ import annotations

import decimal
import itertools
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


def in_full(number: float) -> str:
    """A number in all digits that it has.

    Example:
        >>> [in_full(n) for n in (2.0, 2.0000003, 1e-09)]
        ['2', '2.0000003', '1e-09']
    """
    return repr(float(number)).removesuffix(".0")


def rounded(number: float, up: bool, digits: int = 6) -> str:
    """A bound to so many digits, rounded to the side on which it is still one.

    Example:
        >>> rounded(1.23456789, up=True), rounded(-1.23456789, up=False), rounded(0.1, up=True)
        ('1.23457', '-1.23457', '0.1')
        >>> rounded(3.1204135646791764e-08, up=True, digits=3)
        '3.13e-08'
    """
    way = decimal.ROUND_CEILING if up else decimal.ROUND_FLOOR
    context = decimal.Context(prec=digits, rounding=way)
    return f"{float(context.create_decimal(repr(float(number)))):.{digits}g}"


def ends(low: float, high: float, *, outwards: bool, share: float) -> tuple[str, str]:
    """Both ends of a range in the fewest digits that move none by more than a share of its width.

    Args:
        low: the lower end.
        high: the upper one, above it.
        outwards: whether both are rounded outwards, and not inwards.
        share: of the width.

    Example:
        >>> low, high = 60.44205856323242, 139.55794143676758
        >>> ends(low, high, outwards=True, share=0.01), ends(low, high, outwards=False, share=1e-4)
        (('60', '140'), ('60.443', '139.557'))
        >>> ends(0.1, 2.0, outwards=False, share=1e-4)
        ('0.1', '2')
    """

    def shortest(number: float, up: bool) -> str:
        for digits in range(1, 18):
            text = rounded(number, up, digits)
            if abs(float(text) - number) <= share * (high - low):
                return in_full(float(text))
        return in_full(number)

    return shortest(low, up=not outwards), shortest(high, up=outwards)


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


def labels(names: Sequence[str], limit: int) -> list[str]:
    """Names as they fit beside a chart, cut so that what tells each from the others is seen.

    Example:
        >>> labels(["temperature_of_inlet_a", "temperature_of_inlet_b", "flow"], limit=14)
        ['temp…f_inlet_a', 'temp…f_inlet_b', 'flow']
        >>> labels(["native_country_peru_in_1990", "native_country_cuba_in_1990"], limit=14)
        ['nati…y_peru_i…', 'nati…y_cuba_i…']
    """
    texts = [plain(name) for name in names]
    order = sorted(texts)
    alike = dict.fromkeys(order, 0)  # how long the longest beginning is that it has with another
    for before, after in itertools.pairwise(order):
        letters = zip(before, after, strict=False)
        shared = len(list(itertools.takewhile(lambda two: two[0] == two[1], letters)))
        alike[before], alike[after] = max(alike[before], shared), max(alike[after], shared)
    return [_cut(text, alike[text], limit) for text in texts]


def _cut(text: str, place: int, limit: int) -> str:
    """A text of at most `limit` letters that shows the one at `place`."""
    if len(text) <= limit:
        return text
    head = limit // 3
    tail = limit - 1 - head
    start = len(text) - tail
    if not head <= place < start:
        return f"{text[:head]}…{text[start:]}"
    first = max(head, place - 2)
    return f"{text[:head]}…{text[first : first + tail - 1]}…"


def wrapped(text: str, start: str = "") -> list[str]:
    """Lines of at most `WIDTH` columns; all but the first are indented as far as `start`."""
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start)) or [
        start.rstrip()
    ]
