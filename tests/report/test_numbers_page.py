"""docs/numbers.md says of every logged number what the code says, and what it decides."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from keras_curvature.report import verdict
from keras_curvature.summaries.run_writer import PICTURES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "numbers.md").read_text()
SECTIONS = {
    title: body.partition("\n## ")[0]
    for title, body in re.findall(
        r"^### `(\S+)`\n(.*?)(?=^### |\Z)", PAGE, re.DOTALL | re.MULTILINE
    )
}

spec = importlib.util.spec_from_file_location("meanings", DOCS / "meanings.py")
meanings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(meanings)


def test_every_number_has_a_section_and_no_other():
    assert set(SECTIONS) == set(meanings.NUMBERS)


def test_the_page_says_what_the_table_says():
    assert len(meanings.SECTION.findall(PAGE)) == len(meanings.NUMBERS)
    assert meanings.filled(PAGE) == PAGE, "run: python docs/meanings.py"


@pytest.mark.parametrize("name", meanings.NUMBERS)
def test_a_section_has_a_source_and_a_decision(name):
    rows = dict(re.findall(r"^\| (\w+) \| (.+) \|$", SECTIONS[name], re.MULTILINE))
    assert list(rows) == ["formula", "unit", "source", "decides"]
    assert all(rows.values())


def test_every_picture_and_every_kind_of_verdict_is_told():
    source = Path(verdict.__file__).read_text()
    kinds = set(re.findall(r'Verdict\(\s*"([a-z ]+)"', source))
    assert len(kinds) == 13
    missing = [kind for kind in kinds if f'| `"{kind}"` | ' not in PAGE]
    assert missing == []
    assert [name for name in PICTURES if f"curvature-picture/{name}`" not in PAGE] == []
