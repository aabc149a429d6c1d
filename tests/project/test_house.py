"""What the papers of the house say holds: code blocks run, files are there, imports go one way."""

from __future__ import annotations

import ast
import functools
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import keras_curvature as kc

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
PACKAGE = SOURCES / "keras_curvature"
PAPERS = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")
TEXTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(path for folder in ("benchmarks", "docs", "examples", "src", "tests", "tools")
      for path in (ROOT / folder).rglob("*.py")),
]  # fmt: skip
"""What tells a reader to call `make`."""

ORDER = (
    ("monitor",),
    ("proofs", "summaries", "verification"),
    ("diagnosis", "figures", "functions"),
    ("losses", "report", "layers"),
    ("measurement",),
    ("enclosures", "estimates"),
    ("engines",),
    ("typing",),
)
"""Each uses only what stands behind it; those in one row know nothing of each other."""

LOOSE = 3
"""Files beside the packages: what is public, what is run, the names of types, and no more than one
besides."""

KNOWN_ONLY_TO = {
    "keras.callbacks": ("monitor",),
    "matplotlib": ("figures",),
    "tensorboard": ("summaries",),
    "keras_curvature_page": ("monitor", "summaries"),
    "keras_curvature_tensorboard": (),
}
"""What is none of the business of any other package."""

DOORS = {"api", "backend", "quantities"}
"""The modules of `engines/` that other packages import."""

BACKENDS = ("tensorflow", "jax", "torch")


@pytest.mark.usefixtures("rules_as_before")
def test_the_rule_of_the_guide_can_be_added(capsys):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    namespace: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "CONTRIBUTING.md", "exec"), namespace)
    printed = capsys.readouterr().out
    assert "one direction at a time through FresnelCos" in printed
    assert "right for this model, as far as differences can tell" in printed
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


@pytest.mark.parametrize("paper", ["CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_files_that_the_guides_name_are_there(paper):
    named = re.findall(r"`((?:src|tests|engines)/[\w/]+\.py)`", (ROOT / paper).read_text())
    assert len(named) >= {"CONTRIBUTING.md": 4, "ARCHITECTURE.md": 0}[paper]
    for name in named:
        path = ROOT / name if not name.startswith("engines/") else PACKAGE / name
        assert path.exists(), name


def test_the_citation_has_the_version():
    assert f"\nversion: {kc.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@functools.cache
def modules():
    return {
        ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCES.rglob("*.py")
    }


@functools.cache
def imported(path):
    """The modules that a file imports names from, those inside functions too."""
    known = modules()
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                found.add(inside if inside in known else node.module)
    return found


def test_imports_run_one_way():
    """Of all packages: no file needs one that needs it."""
    known = modules()
    assert len(known) > 100
    # Raises `CycleError`, which names the circle.
    tuple(TopologicalSorter({n: imported(p) & set(known) for n, p in known.items()}).static_order())


def package_of(module):
    return module.split(".")[1] if module.startswith("keras_curvature.") else ""


def test_no_package_uses_one_that_stands_before_it():
    place = {name: row for row, names in enumerate(ORDER) for name in names}
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert packages | {"typing"} == set(place)
    up = {
        f"{path.relative_to(PACKAGE)} uses {module}"
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE or path.stem == "typing"
        for mine in [path.relative_to(PACKAGE).with_suffix("").parts[0]]
        for module in imported(path)
        if (other := package_of(module)) and other != mine and place[other] <= place[mine]
    }
    assert up == set()


def test_the_engines_have_three_doors():
    by_another = {
        f"{path.relative_to(SOURCES)} uses {module}"
        for path in SOURCES.rglob("*.py")
        if (PACKAGE / "engines") not in path.parents and path != PACKAGE / "__init__.py"
        for module in imported(path)
        if module.startswith("keras_curvature.engines.") and module.split(".")[2] not in DOORS
    }
    assert by_another == set()


def test_a_file_is_read_at_a_sitting():
    """One may be longer: the monitor's arguments are many, and each is told of."""
    long = [path for path in PACKAGE.rglob("*.py") if path.read_text().count("\n") > 400]
    assert long == [PACKAGE / "monitor" / "callback.py"]


def test_few_files_lie_loose():
    loose = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert len(loose) <= LOOSE, loose


@pytest.mark.parametrize("what", KNOWN_ONLY_TO)
def test_only_the_package_named_for_it_knows(what):
    allowed = KNOWN_ONLY_TO[what]
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in allowed and knows(path, what)
    }
    assert knowing == set()


def knows(path, what):
    """Whether a file imports a library, or names a part of one in its code."""
    known = attributes(path) | imported(path)
    return any(name == what or name.startswith(f"{what}.") for name in known)


@functools.cache
def attributes(path):
    """All that a file names with a dot, in its code."""
    tree = ast.parse(path.read_text())
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def relative(path):
    return path.relative_to(PACKAGE).as_posix()


def test_backends_are_known_to_their_engines_alone():
    found = {
        relative(path)
        for path in PACKAGE.rglob("*.py")
        for backend in BACKENDS
        if not relative(path).startswith(f"engines/{backend}/") and knows(path, backend)
    }
    assert found == set()


def test_the_neutral_engines_ask_for_a_backend_by_its_name():
    """`own_module` finds what is one backend's; `backend.py` hands it to the other packages."""
    found = {
        f"{relative(path)} uses {module}"
        for path in (PACKAGE / "engines").rglob("*.py")
        for module in imported(path)
        for backend in BACKENDS
        if module.startswith(f"keras_curvature.engines.{backend}")
        and not relative(path).startswith(f"engines/{backend}/")
        and relative(path) != "engines/backend.py"
    }
    assert found == set()


def test_engines_know_nothing_of_what_uses_them():
    """Imports go one way, as ARCHITECTURE.md says."""
    allowed = ("keras_curvature.engines", "keras_curvature.typing")
    for path in (PACKAGE / "engines").rglob("*.py"):
        own = [m for m in imported(path) if m.partition(".")[0].startswith("keras_curvature")]
        assert [m for m in own if not m.startswith(allowed)] == [], path
