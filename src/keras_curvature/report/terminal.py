"""Parts of a report as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from keras_curvature.measurement.change import Change
from keras_curvature.report.features import FeatureProfile, by_impact, of_ranks
from keras_curvature.report.metrics import (
    CHANGE,
    FEATURE,
    MOST_FEATURES,
    MOST_PAIRS,
    Meaning,
    largest,
)
from keras_curvature.report.pairs import measured_as
from keras_curvature.report.text import formatted, plain, wrapped
from keras_curvature.typing import Units

CHANGES_TITLE = f"Mean |change of the output| along each input of two values, {CHANGE.unit}"

PROFILES_TITLE = "What the function makes of each input, in standard deviations (FFCA)"

COLUMNS = ("input", "impact", "volatility", "non-linearity", "interaction", "archetype")
"""Of the table of profiles."""


def titled(title: str, lines: list[str]) -> list[str]:
    """Lines below their title, if there are any."""
    return [title, *lines] if lines else []


def numbers_of(
    numbers: Mapping[str, float], units: Units, meaning_of: Callable[[str], Meaning | None]
) -> list[str]:
    """Each number with its unit and meaning."""
    known = {name: meaning_of(name) or Meaning("", "", "") for name in numbers}
    rows = [
        (name, formatted(numbers[name]), meaning.unit_in(units), meaning.sentence)
        for name, meaning in known.items()
    ]
    return _aligned(rows)


def features_title(features: Mapping[str, float]) -> str:
    """What is said of each input, and how many are left out."""
    omitted = len(features) - MOST_FEATURES
    note = f"; {omitted} with less are left out" if omitted > 0 else ""
    return f"Mean |second derivative| along each input, {FEATURE.unit}{note}"


def features_of(features: Mapping[str, float]) -> list[str]:
    """The number of each input, the largest first."""
    rows = [(plain(name, 40), formatted(number), "", "") for name, number in largest(features)]
    return _aligned(rows)


def profiles_of(profiles: Mapping[str, FeatureProfile]) -> list[str]:
    """A line for each input, that of the largest impact first."""
    if not profiles:
        return []
    rows = [
        (plain(name, 14), *map(formatted, one.numbers), one.archetype)
        for name, one in by_impact(profiles, MOST_FEATURES)
    ]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:<{width}}" if i in (0, 5) else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (COLUMNS, *rows)
    ]
    shown = [one for _, one in by_impact(profiles, MOST_FEATURES) if one.archetype]
    told = dict.fromkeys(f"{one.archetype}: {one.meaning}" for one in shown)
    sentences = [*told, *filter(None, [of_ranks(profiles)])]
    return [*lines, *(line for said in sentences for line in wrapped(said))]


def changes_of(changes: Mapping[str, Change]) -> list[str]:
    """The number of each input that has two values, the largest first."""
    sizes = largest({name: change.size for name, change in changes.items()})
    return _aligned(
        [
            (
                plain(name, 40),
                formatted(size),
                "",
                "; ".join(filter(None, [changes[name].way, changes[name].counts])),
            )
            for name, size in sizes
        ]
    )


def pairs_title(pairs: Mapping[tuple[str, str], float], changes: Mapping[str, Change]) -> str:
    """What is said of each pair of inputs."""
    said = measured_as(pairs, changes)
    return f"{said[0].upper()}{said[1:]}"


def pairs_of(pairs: Mapping[tuple[str, str], float]) -> list[str]:
    """The number of two inputs, the largest first."""
    named = {f"{plain(a, 18)} × {plain(b, 18)}": size for (a, b), size in pairs.items()}
    return _aligned([(name, formatted(size), "", "") for name, size in largest(named, MOST_PAIRS)])


def _aligned(rows: list[tuple[str, str, str, str]]) -> list[str]:
    """Columns name, number, unit, meaning; a long meaning goes on below itself."""
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = []
    for name, number, unit, meaning in rows:
        start = f"{name:<{widths[0]}}  {number:>{widths[1]}}  {unit:<{widths[2]}}  "
        lines += wrapped(meaning, start) if meaning else [start.rstrip()]
    return lines


def bullets(sentences: Iterable[str]) -> list[str]:
    """Each sentence behind a dash."""
    return [line for s in sentences for line in wrapped(plain(s), "- ")]
