"""Every code block of the README and of the documentation is run, and its output compared.

A page is run from its first block to its last in one namespace, as a reader would. A block
```text right after a block of Python is what it prints: numbers may differ in the last decimal
shown or by 2 %, as between machines; those after "≈", which hang on how the training went, by a
half; `...` stands for anything.

Pages are run on the Keras backend of the process. A comment right before a block says what it is
for: `<!-- on jax -->` that backend alone; `<!-- needs folx -->` where that package is, in a
namespace of its own; `<!-- on jax, needs folx -->`. A block without one runs on all backends.
"""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}

SLOW = {
    f"docs/{name}.md"
    for name in (
        "comparison",
        "greeks",
        "index",
        "monitor",
        "pinns",
        "pricing",
        "relu",
        "tutorial",
        "verify",
        "wide-models",
    )
}
"""Pages that train networks for longer than a few seconds."""

BACKEND = os.environ["KERAS_BACKEND"]  # set by conftest.py
BACKENDS = ("tensorflow", "jax", "torch")

FENCE = re.compile(
    r"^(?:<!--(?P<says>[^\n]*)-->\n+)?"
    r"```python\n(?P<code>.*?)^```$(?:\n+```text\n(?P<printed>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(r"(≈ ?)?([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)")
TOLERANCE, ROUGHLY = 0.02, 0.5
"""Training is not the same to the last bit on every machine, nor twice on several cores."""


@dataclass(frozen=True)
class Block:
    """A block of Python on a page.

    Attributes:
        page: of `PAGES`.
        line: of the page, in which it begins.
        code: what is run.
        printed: what the page says that it prints, or `None`.
        needs: packages that it imports and not every reader has.
        on: the Keras backends that it is for.
    """

    page: str
    line: int
    code: str
    printed: str | None
    needs: tuple[str, ...]
    on: tuple[str, ...]

    def run(self, namespace: dict) -> None:
        """In a namespace; tracebacks show the line of the page."""
        padded = "\n" * self.line + self.code
        exec(compile(padded, str(PAGES[self.page]), "exec"), namespace)


def blocks_of(page: str) -> list[Block]:
    """Those for the backend of this process."""
    return [block for block in all_blocks_of(page) if BACKEND in block.on]


def all_blocks_of(page: str) -> list[Block]:
    """Those for other backends too."""
    text = PAGES[page].read_text()
    return [
        Block(
            page,
            text.count("\n", 0, found.start("code")),
            found["code"],
            found["printed"],
            **said(found["says"]),
        )
        for found in FENCE.finditer(text)
    ]


def said(comment: str | None) -> dict[str, tuple[str, ...]]:
    """What the comment before a block says: `needs` and `on` of `Block`.

    Raises:
        ValueError: for a word that is neither, or a backend that there is not.
    """
    found = {"needs": (), "on": BACKENDS}
    for part in [] if comment is None else comment.split(","):
        word, *names = part.split() or [""]
        if word not in found or not names or (word == "on" and not {*names} <= {*BACKENDS}):
            raise ValueError(
                "The comment before a block must be of `on` with some of "
                f"{', '.join(BACKENDS)} and `needs` with packages. Received: {comment!r}."
            )
        found[word] = tuple(names)
    return found


WITH_CODE = [page for page in PAGES if blocks_of(page)]
FOREIGN = [block for page in WITH_CODE for block in blocks_of(page) if block.needs]


def same(printed: str, promised: str) -> bool:
    """Whether two texts agree, numbers within what is shown of them."""
    pattern = r".*?".join(map(re.escape, _worded(promised).split("...")))
    if not re.fullmatch(pattern, _worded(printed), re.DOTALL):
        return False
    if "..." in promised:
        return True
    pairs = zip(NUMBER.findall(printed), NUMBER.findall(promised), strict=True)
    return all(
        _close(found, shown, ROUGHLY if about else TOLERANCE)
        for (_, found), (about, shown) in pairs
    )


def _worded(text: str) -> str:
    """All numbers alike, all white space alike."""
    return " ".join(NUMBER.sub("#", text).split())


def _close(found: str, shown: str, tolerance: float) -> bool:
    digits = len(shown.partition("e")[0].partition(".")[2])
    unit = 10.0**-digits * 10.0 ** int(shown.partition("e")[2] or 0) if digits else 0.0
    return abs(float(found) - float(shown)) <= max(unit, tolerance * abs(float(shown)))


def check(block: Block, namespace: dict, capsys: pytest.CaptureFixture) -> None:
    capsys.readouterr()
    block.run(namespace)
    printed = capsys.readouterr().out
    if block.printed is not None:
        where = f"{block.page}, line {block.line}"
        assert same(printed, block.printed), f"{where} prints:\n{printed}"


@pytest.fixture
def fresh_program(rules_as_before):
    """Layers are numbered from the start, and rules for ops that a page registers are undone."""
    import keras

    keras.utils.clear_session(free_memory=False)


@pytest.mark.every(2)
@pytest.mark.usefixtures("fresh_program")
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] * (page in SLOW)) for page in WITH_CODE],
)
def test_a_page_runs_and_prints_what_it_says(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "__main__"}
    for block in blocks_of(page):
        if not block.needs:
            check(block, namespace, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("block", FOREIGN, ids=lambda b: f"{b.page}:{b.line}")
def test_what_needs_other_packages_runs_where_they_are(block, tmp_path, monkeypatch, capsys):
    """Alone: it must import what it uses."""
    missing = [name for name in block.needs if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, see benchmarks/requirements.txt")
    monkeypatch.chdir(tmp_path)
    check(block, {"__name__": "__main__"}, capsys)


@pytest.mark.parametrize(
    ("printed", "promised", "agree"),
    [
        ("mean 1.9971\n", "mean 1.997\n", True),
        ("mean 1.90\n", "mean 1.99\n", False),
        ("mean 0.004", "mean 0.00", True),
        ("mean 0.02", "mean 0.00", False),
        ("step 3", "step 4", False),
        ("7e-06 off", "7.01e-06 off", True),
        ("a  b\n c", "a b c", True),
        ("a b c", "a ... c", True),
        ("a b", "a c", False),
        ("1 2", "1", False),
        ("≈ 130", "≈ 100", True),
        ("≈ 160", "≈ 100", False),
    ],
)
def test_printed_and_promised(printed, promised, agree):
    assert same(printed, promised) == agree


@pytest.mark.parametrize(
    ("comment", "needs", "on"),
    [
        (None, (), BACKENDS),
        (" on jax ", (), ("jax",)),
        (" needs folx numpy ", ("folx", "numpy"), BACKENDS),
        (" on jax, needs folx ", ("folx",), ("jax",)),
        (" needs deepxde, on tensorflow ", ("deepxde",), ("tensorflow",)),
    ],
)
def test_what_a_comment_says(comment, needs, on):
    assert said(comment) == {"needs": needs, "on": on}


@pytest.mark.parametrize(
    "comment", ["", " jax ", " on ", " on jaks ", " on torhc ", " onn jax ", " on jax; needs folx "]
)
def test_an_unknown_word_before_a_block_is_an_error(comment):
    with pytest.raises(ValueError, match="must be of `on`"):
        said(comment)


@pytest.mark.parametrize("page", WITH_CODE)
def test_no_block_for_jax_takes_tensorflow_for_granted(page):
    """TensorFlow is there where this is tested, on the reader's machine perhaps not."""
    taken = [
        block.line
        for block in all_blocks_of(page)
        if "jax" in block.on
        and "tensorflow" not in block.needs
        and re.search(r"\btf\.|\bimport tensorflow", block.code)
    ]
    assert taken == []


@pytest.mark.slow
def test_the_shapes_in_the_readme_are_true(tmp_path, monkeypatch):
    """Those in the comments of its code."""
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    first, second = blocks_of("README.md")[:2]
    first.run(namespace)
    shapes = re.findall(r"kc\.(\w+)\(model, (.*)\)  +# (\(.*?\))", second.code)
    assert len(shapes) == 4
    for name, arguments, shape in shapes:
        found = eval(f"kc.{name}(model, {arguments})", namespace)
        assert str(tuple(found.shape)) == shape, name


def test_the_reference_has_every_public_name():
    import keras_curvature as kc

    page = PAGES["docs/api.md"].read_text()
    named = set(re.findall(r"^\.\. auto(?:class|function):: (\S+)$", page, re.MULTILINE))
    taylor = {f"keras_curvature.taylor.{name}" for name in kc.taylor.__all__}
    losses = {f"keras_curvature.losses.{name}" for name in kc.losses.__all__}
    assert {*kc.__all__} - {"taylor", "losses"} | taylor | losses <= named


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_somewhere(page):
    """Links to files; Sphinx sees to those to headings."""
    text = PAGES[page].read_text()
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)|(?:src|srcset)=\"([^\"]+)\"", text)
    missing = [t for pair in targets for t in pair if t and not (PAGES[page].parent / t).exists()]
    assert missing == []


def test_no_docstring_s_result_is_taken_for_a_type():
    """What stands before a colon in the first line of `Returns:` is shown as the type."""
    import inspect

    import keras_curvature as kc

    first = re.compile(r"Returns:\n(?:\n| )*(.+)")
    taken = [
        name
        for name in kc.__all__
        if (found := first.search(inspect.getdoc(getattr(kc, name)) or "")) and ": " in found[1]
    ]
    assert taken == []
