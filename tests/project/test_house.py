"""What the papers of the house say holds: code blocks run, targets and files are there."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import keras_curvature as kc

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
PAPERS = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")
TEXTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("[a-z]*/**/*.py")]
"""What tells a reader to call `make`."""


@pytest.mark.usefixtures("rules_as_before")
def test_the_rule_of_the_guide_can_be_added(capsys):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    namespace: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "CONTRIBUTING.md", "exec"), namespace)
    printed = capsys.readouterr().out
    assert "one direction at a time through FresnelCos" in printed
    assert "right, as far as differences can tell" in printed
    model, x = namespace["model"], namespace["x"]
    assert kc.engine_choice(model, x, ["laplacian"], dtype="float64").fallbacks == ()


@pytest.mark.parametrize("paper", PAPERS)
def test_what_a_paper_points_to_is_there(paper):
    text = (ROOT / paper).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_to_be_made_is_a_target(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(), re.MULTILINE)) <= targets


def test_files_that_the_guides_name_are_there():
    engines = ROOT / "src" / "keras_curvature" / "engines"
    named = re.findall(
        r"`((?:src|tests|engines)/[\w/]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text()
    )
    assert len(named) >= 4
    for name in named:
        path = ROOT / name if not name.startswith("engines/") else engines.parent / name
        assert path.exists(), name


def test_the_citation_has_the_version():
    assert f"\nversion: {kc.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_imports_run_one_way():
    """Of all packages, those inside functions too: no file needs one that needs it."""
    modules = {
        ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCES.rglob("*.py")
    }
    assert len(modules) > 100
    # Raises `CycleError`, which names the circle.
    tuple(TopologicalSorter({n: _imported(p, modules) for n, p in modules.items()}).static_order())


def _imported(path, modules):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_curvature"):
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                found.add(inside if inside in modules else node.module)
    return found


def test_engines_know_nothing_of_what_uses_them():
    """Imports go one way, as ARCHITECTURE.md says."""
    package = ROOT / "src" / "keras_curvature"
    allowed = ("keras_curvature.engines", "keras_curvature.typing")
    for path in (package / "engines").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_curv"):
                assert node.module.startswith(allowed), f"{path.name} imports {node.module}"
