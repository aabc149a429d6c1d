"""The page of the documentation that the answers make."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from answers import KERAS, OURS, VALUES, Answer, Row

NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
POINTS = "points/"
"""How the ids of special points begin."""

KINDS = ("right", "wrong", "lost", "undefined", "raises", "unknown")

TOP = """# Second derivatives on three frameworks

What each framework's own second derivatives are worth, for everything in Keras that has one:
layers, activations, operations, losses, quantised and LoRA layers, in inference and (`training/`)
in training mode, at generic points and (`points/`) where formulas break: at 0, edges and ties, in
saturated units, between factors of 0, behind masks. {versions}.

**How it was asked.** The second derivative along a random direction of a sum of the outputs, by
every way that a framework has to take it, each as its documentation writes it, in float64 and in
float32. **The truth** is no derivative by anybody: central differences of eighth order of float64
values at generic points, with a second step to tell how far they can be trusted; at special points
central differences in 700 digits of the same function written for mpmath; and for quantised layers
the closed form of what Keras means (rounded forwards, straight through backwards). Keras turns
float64 into float32 on JAX and PyTorch; for the truth, and for all that is said of float64 here,
that was undone (*values* below says where it matters).

**How to read it.** *right*: to 1e-5 in float64 and 1e-3 in float32, of the second derivative, or
of a hundredth of the slope where that is more. *wrong*: a number that is not. *lost*: the true
number is below the rounding of the largest in its row, and nothing of it is left. *undefined*:
there is no second derivative (a kink, a tie), and what comes instead. *raises*: no answer. All
answers are in {{download}}`second-derivatives.csv`; `make survey` asks again, on two cores in
about 45 minutes, and writes this page. *all*: every way that was asked there. *unknown*: values
with so few digits that differences of them cannot tell. Operations on two numbers (`ops/add`,
`ops/power`, …) are asked with `ops.roll(x, 1, axis=-1)` for the second: TensorFlow's
`batch_jacobian` rolls along another axis, and that is what it has wrong there.

"""


def written_page(
    answers: Sequence[Answer], rows: Sequence[Row], versions: Mapping[str, str]
) -> str:
    """The page as Markdown."""
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    parts = [TOP.format(versions=named), _tally(answers)]
    for backend, name in NAMES.items():
        own = [row for row in rows if row.backend == backend]
        parts.append(f"## {name}\n\n" + _of_one(own))
    parts.append(_float64(answers))
    parts.append(_ours(rows))
    return "\n".join(parts)


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(header), "|---" * len(header) + "|", *map(line, lines)]) + "\n"


def _tally(answers: Sequence[Answer]) -> str:
    counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for one in answers:
        if one.is_own or one.way == OURS:
            counts[one.backend, one.way, one.dtype][one.kind] += 1
    lines = [
        (NAMES[backend], way, dtype, *(str(count[kind] or "") for kind in KINDS))
        for (backend, way, dtype), count in sorted(
            counts.items(), key=lambda item: (list(NAMES).index(item[0][0]), item[0][2])
        )
    ]
    return _table(["framework", "way", "dtype", *KINDS], lines)


def _of_one(rows: Sequence[Row]) -> str:
    """What is not right of one framework."""
    own = [row for row in rows if row.ways not in (KERAS, VALUES) and not row.ways.startswith(OURS)]
    generic = [row for row in own if not row.case.startswith(POINTS)]
    special = [row for row in own if row.case.startswith(POINTS)]
    missing = [row for row in rows if row.ways == KERAS]

    def of(rows: Sequence[Row], *kinds: str) -> list[Row]:
        return [row for row in rows if row.kind in kinds]

    parts = {
        "Wrong": _cases(of(generic, "wrong", "lost")),
        "No answer": _reasons(of(generic, "raises")),
        "Unknown": _cases(of(generic, "unknown")),
        "At special points": _places(of(special, "wrong", "lost", "raises")),
        "Where there is no derivative": _places(of(special, "undefined")),
        "What Keras does not build": _reasons(missing),
    }
    return "\n".join(f"### {title}\n\n{text}" for title, text in parts.items() if text)


def _cases(rows: Sequence[Row]) -> str:
    """A row for each case."""
    lines = [(f"`{row.case}`", row.ways, row.dtypes, row.kind, _code(row.words)) for row in rows]
    header = ["case", "ways", "dtype", "verdict", "found"]
    return _table(header, lines) if lines else ""


def _reasons(rows: Sequence[Row]) -> str:
    """A row for each error, with the cases that it is of."""
    cases: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in rows:
        cases[row.ways, row.dtypes, row.words].append(f"`{row.case}`")
    lines = [
        (", ".join(named), ways, dtypes, _code(words))
        for (ways, dtypes, words), named in cases.items()
    ]
    return _table(["cases", "ways", "dtype", "what was raised"], lines) if lines else ""


def _places(rows: Sequence[Row]) -> str:
    """A row for each function, with the points."""
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in rows:
        function, _, place = row.case.removeprefix(POINTS).partition(" at ")
        said = f"{place}: {row.words}" if place else row.words
        places[function, row.ways, row.dtypes, row.kind].append(said)
    lines = [
        (f"`{function}`", ways, dtypes, kind, _code("; ".join(said)))
        for (function, ways, dtypes, kind), said in places.items()
    ]
    header = ["function", "ways", "dtype", "verdict", "at: found"]
    return _table(header, lines) if lines else ""


def _code(words: str) -> str:
    return f"`{words.replace('`', '’')}`" if words else ""


def _float64(answers: Sequence[Answer]) -> str:
    lines = []
    for backend, name in NAMES.items():
        values = [one for one in answers if one.backend == backend and one.way == VALUES]
        rounded = [one.case for one in values if one.kind != "right"]
        lines.append((name, str(len(values)), str(len(rounded))))
    return (
        "## float64 that is float32\n\n"
        "Values of models that were built with `keras.config.set_floatx('float64')`, as Keras "
        "computes them, beside the same with its type promotion undone. A second derivative by "
        "differences of such values has no digit that is right.\n\n"
        + _table(["framework", "cases", "float32 inside"], lines)
    )


def _ours(rows: Sequence[Row]) -> str:
    own = [row for row in rows if row.ways.startswith(OURS)]
    text = "\n## This library\n\n"
    text += "Asked for the same, by `kc.directional_curvature` and `kc.jacobian` as they are.\n\n"
    found = [row for row in own if row.kind not in ("right", "undefined")]
    lines = [
        (NAMES[row.backend], f"`{row.case}`", row.dtypes, row.kind, _code(row.words))
        for row in found
    ]
    header = ["framework", "case", "dtype", "verdict", "found, or what was raised"]
    return text + (_table(header, lines) if lines else "All of it is right.\n")
