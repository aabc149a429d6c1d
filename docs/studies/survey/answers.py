"""Answers of the backends, and rows that say together what several of them have in common."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import ClassVar

OURS, KERAS, VALUES, FIRST = "keras-curvature", "Keras", "values", "first derivative"
"""Ways that are no second derivatives of a backend's own; `OURS` is how those of ours begin."""

ALL = "all"


@dataclass(frozen=True)
class Answer:
    """What one way said of one case.

    Attributes:
        backend: of Keras.
        case: its id.
        dtype: in which it was asked.
        way: how; `KERAS` where nothing could be built, `VALUES` what its values are worth.
        kind: of the verdict, see `judging.Verdict`.
        words: of the verdict.
        index: of the case, in the order of the page.
    """

    backend: str
    case: str
    dtype: str
    way: str
    kind: str
    words: str
    index: int

    @property
    def is_of_layer(self) -> bool:
        """Whether it was asked of a layer, in inference."""
        return self.case.startswith("layers/")

    @property
    def is_own(self) -> bool:
        """Whether it is a second derivative of the backend's own."""
        return self.way not in (KERAS, VALUES, FIRST) and not self.way.startswith(OURS)


@dataclass(frozen=True)
class Row:
    """What some ways in some dtypes said alike of one case."""

    backend: str
    case: str
    ways: str
    dtypes: str
    kind: str
    words: str

    FIELDS: ClassVar = ("backend", "case", "ways", "dtypes", "verdict", "words")

    def cells(self) -> tuple[str, ...]:
        """The fields in their order."""
        return self.backend, self.case, self.ways, self.dtypes, self.kind, self.words

    def as_csv(self) -> str:
        """A line."""
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(self.cells())
        return text.getvalue()


def joined(answers: Iterable[Answer]) -> list[Row]:
    """Rows of what is alike, in the order of the cases; this library stands by itself."""
    answers = list(answers)
    asked: dict[tuple[str, str], set[str]] = defaultdict(set)
    alike: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in answers:
        if one.is_own:
            asked[one.backend, one.case].add(one.way)
        apart = "" if one.is_own else one.way
        alike[one.backend, one.case, one.kind, one.words, apart][one.dtype].append(one.way)
    rows = []
    for (backend, case, kind, words, _), by_dtype in alike.items():
        by_ways: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for dtype, ways in by_dtype.items():
            by_ways[tuple(ways)].append(dtype)
        for ways, dtypes in by_ways.items():
            text = ALL if set(ways) == asked[backend, case] else "; ".join(ways)
            rows.append(Row(backend, case, text, "; ".join(dtypes), kind, words))
    return rows


def versions() -> Mapping[str, str]:
    """Of what was asked."""
    names = ("Keras", "TensorFlow", "JAX", "torch", "NumPy", "keras-curvature")
    return {name: version(name).partition("+")[0] for name in names}
