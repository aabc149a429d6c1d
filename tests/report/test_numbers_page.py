"""docs/numbers.md says of every logged number what the code says, and what it decides."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keras_curvature.report import metrics, verdict
from keras_curvature.summaries.run_writer import PICTURES

PAGE = (Path(__file__).parents[2] / "docs" / "numbers.md").read_text()
SECTIONS = {
    title: body.partition("\n## ")[0]
    for title, body in re.findall(
        r"^### `(\S+)`\n(.*?)(?=^### |\Z)", PAGE, re.DOTALL | re.MULTILINE
    )
}
LOGGED = metrics.MEANINGS | {"feature/<name>": metrics.FEATURE}


def test_every_number_has_a_section_and_no_other():
    assert set(SECTIONS) == set(LOGGED)


@pytest.mark.parametrize("name", LOGGED)
def test_a_section_has_meaning_formula_unit_source_and_decision(name):
    section, meaning = SECTIONS[name], LOGGED[name]
    assert f"{meaning.sentence[0].upper()}{meaning.sentence[1:]}." in section
    assert f"| unit | {meaning.unit or 'none'} |" in section
    rows = dict(re.findall(r"^\| (\w+) \| (.+) \|$", section, re.MULTILINE))
    assert list(rows) == ["formula", "unit", "source", "decides"]
    assert all(rows.values())


def test_every_picture_and_every_kind_of_verdict_is_told():
    source = Path(verdict.__file__).read_text()
    kinds = set(re.findall(r'Verdict\(\s*"([a-z ]+)"', source))
    assert len(kinds) == 11
    missing = [kind for kind in kinds if f"*{kind}*" not in " ".join(PAGE.split())]
    assert missing == []
    assert [name for name in PICTURES if f"curvature-picture/{name}`" not in PAGE] == []
