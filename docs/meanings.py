"""Takes what a number means from its table, so that the page and the logs cannot disagree.

    python docs/meanings.py    # writes sentences, formulas and units into docs/numbers.md

A section of the page that is headed by a number's name begins with what report/metrics.py says of
it. Where the number comes from and what it decides stand on the page alone.
tests/report/test_numbers_page.py fails where page and table differ.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import re
from pathlib import Path

from keras_curvature.report.metrics import (
    CHANGE,
    FEATURE,
    MEANINGS,
    OF_HESSIANS,
    PROFILE,
    SHAPE,
    Meaning,
)

PAGE = Path(__file__).parent / "numbers.md"

NUMBERS: dict[str, Meaning] = MEANINGS | {
    "feature/<name>": FEATURE,
    "change/<name>": CHANGE,
    **{f"profiles[<name>].{name}": meaning for name, meaning in PROFILE.items()},
    **{f"shape/<input>_<word>_{name}": meaning for name, meaning in SHAPE.items()},
}
"""By the heading of their section."""

WHERE = {
    "whole": "Of 2 to 64 inputs",
    "diagonal": "Of more, along each of them,",
    "estimates": "Of estimates",
}
"""When which words of `OF_HESSIANS` stand beside a number."""

SECTION = re.compile(
    r"(?<=^### `)(?P<name>[^`\n]+)`\n\n.*?\n\n"
    r"\| \| \|\n\|---\|---\|\n\| formula \|.*?\n\| unit \|.*?\n",
    re.MULTILINE,
)


def filled(page: str) -> str:
    """The page with every number's sentence, formula and unit in it."""
    return SECTION.sub(lambda found: section(found["name"]), page)


def section(name: str) -> str:
    """The head of one number's section: what the table knows of it."""
    meaning = NUMBERS[name]
    sentence = f"{meaning.sentence[0].upper()}{meaning.sentence[1:]}.{variants(name)}"
    rows = {"formula": meaning.formula.replace("|", r"\|"), "unit": meaning.unit or "none"}
    lines = [f"{name}`", "", sentence, "", "| | |", "|---|---|"]
    return "".join(f"{line}\n" for line in lines + [f"| {a} | {b} |" for a, b in rows.items()])


def variants(name: str) -> str:
    """What stands beside a number that says more or less by what is known of the Hessians."""
    said = {of: own[name].sentence for of, own in OF_HESSIANS.items() if name in own}
    others = {of: words for of, words in said.items() if words != NUMBERS[name].sentence}
    return "".join(f" {WHERE[of]} it says: *{words}*." for of, words in others.items())


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
