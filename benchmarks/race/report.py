"""Writes RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmarks.race import work as works
from benchmarks.race.contenders import BY_HAND, MACHINE, OURS, PEERS, PRODUCTS
from benchmarks.race.findings import grown, operations, ours, peak_rate
from benchmarks.race.goals import Goal, goals
from benchmarks.race.results import Measurement, Run, ratio
from benchmarks.race.work import Work

HOW = """\
`make bench` measures this library and others at the same work: the same network, weights,
inputs and machine, in one run. Each way to do the work has a process of its own. All of a work's
processes do it for the first time one after the other, and then take turns in an order that is
shuffled every round, while the others sleep, so that a slow moment of the machine meets all of
them alike.

- **ms**: of one call after the first two, the median of the rounds' medians, and in brackets
  the quartiles of the rounds.
- **× ours**: how many times as long as `keras-curvature` with its default engine, the faster of
  graph and XLA, as for the recipes: the median of the ratios within each round.
- **first**: seconds of the first call, which traces and compiles. Before it, each process has run
  the network forward in the same mode, so what every program pays is not in it.
- **MiB**: the most memory that the process held, above what it held before the first call.
- **error**: the largest against float64 truth that is computed by hand in NumPy: a Taylor
  recursion written out for the tanh networks, differences of values of order 8 for the others;
  relative to the largest right number.

Of a peer with several ways the tables show the fastest; all of them are in
[All ways](#all-ways).
"""

WRONG = 1e-3
"""An error beyond which a result is wrong, and not merely float32."""


def report(run: Run, chart: str) -> str:
    """The whole text.

    Args:
        run: what was measured.
        chart: path of the picture, relative to the report.
    """
    sections = [
        "# Benchmark: against every peer, in one run",
        HOW,
        f"![Times relative to this library, and growth]({chart})",
        _conditions(run),
        *_groups(run),
        _growth(run),
        _every_way(run),
        _to_reach(run),
    ]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """In Markdown; all columns but the first to the right."""
    lines = [head, ("---", *["---:"] * (len(head) - 1)), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _conditions(run: Run) -> str:
    rows = list(run.conditions.items())
    peak = peak_rate(run)
    if peak is not None:
        side = works.TILE
        rows.append(
            ("float32 matrix product", f"{peak / 1e9:.0f} Gflop/s ({side}x{side}, `tf.matmul`)")
        )
    return table(("conditions", ""), rows).replace("---:", "---")


GROUPS = (
    (
        "Exact second derivatives",
        "Of tanh networks with one output and four layers of 256 units, behind 784 inputs three "
        "layers of 128. A tape in a tape passes each layer 2 + 2 d times with d inputs, forwards "
        "or back, Taylor propagation d + 2 times. So by counting matrix products a Laplacian "
        "by Taylor propagation, ours or folx, is 1.3 times as fast as the tapes with 1 input, 1.8 "
        "times with 8 and almost twice with 64; what lies beyond is in the elementwise work.",
        works.EXACT,
    ),
    (
        "Trace estimates",
        f"The mean of v'Hv over {works.DIRECTIONS} directions of random signs for each example: "
        f"{works.TRACES[0].points} images {works.TRACES[0].network.side}² through "
        f"{2 * len(works.TRACES[0].network.stages)} convolutions with tanh, and "
        f"{works.TRACES[1].points} sequences of {works.TRACES[1].network.tokens} tokens through "
        f"{works.TRACES[1].network.blocks} pre-LN blocks. A loop over tapes runs the network "
        f"{2 + 2 * works.DIRECTIONS} times, forwards or back, Taylor propagation "
        f"{2 + works.DIRECTIONS} times: 1.8 times as fast where convolutions take all the time. "
        "TensorFlow's gradient of a "
        "normalisation is silently wrong when it is differentiated again, see the README.",
        works.TRACES,
    ),
    (
        "Trace estimates of deep networks",
        f"The same, of {works.DEEP_TRACES[0].points} images each: ResNet50, whose one class is "
        "told by a sigmoid, so that all that is not piecewise linear is its last op, which Taylor "
        "propagation sees and the tapes do not; and "
        f"{works.DEEP_TRACES[1].network.blocks} pre-LN blocks of width "
        f"{works.DEEP_TRACES[1].network.width} on {works.DEEP_TRACES[1].network.tokens} patches.",
        works.DEEP_TRACES,
    ),
    (
        "Training steps",
        "The gradient by all weights of `mean((laplacian - source)²) + mean((value - target)²)`, "
        "tanh network 4x256, and a step of gradient descent. XLA takes for constants what the "
        "nested tape needs of weights and points, so it compiles that anew for every step. By "
        "counting matrix products Taylor propagation is (2 + 2 d) / (d + 2) times as fast as the "
        "tape: 1.5 times for 2 inputs, 1.8 times for 8.",
        works.STEPS,
    ),
    ("A deep network", "Untrained, one image 224², one of its outputs.", [works.RESNET]),
)


def _groups(run: Run) -> Iterator[str]:
    for title, text, some in GROUPS:
        measured = [work for work in some if run.of(work.name)]
        if measured:
            yield f"## {title}\n\n{text}"
        for work in measured:
            yield f"### {work.title}\n\n{_best_of_each(run, work)}"


def _best_of_each(run: Run, work: Work) -> str:
    mine = ours(run, work)
    rows = [_row(f"**{OURS}**", mine, mine)] if mine else []
    absent = []
    for peer in (*PEERS, BY_HAND):
        ways = run.of(work.name, peer)
        best = run.best(work.name, peer)
        if best is not None:
            rows.append(_row(f"{peer}: {best.way}", best, mine))
        elif ways:
            absent.append(f"n/a, {peer}: {_reasons(ways)}.")
    text = table(("", "ms", "× ours", "first", "MiB", "error"), rows)
    if work == works.DENSE:
        text += "\n\n" + _rates(run)
    return "\n\n".join([text, "\n".join(f"- {line}" for line in absent)]).strip()


def _reasons(ways: list[Measurement]) -> str:
    return "; ".join(dict.fromkeys(str(m.failure).strip().rstrip(".") for m in ways))


def _row(label: str, m: Measurement, mine: Measurement | None) -> tuple[str, ...]:
    return (
        label,
        _milliseconds(m),
        f"{ratio(m, mine):.2f}" if mine else "n/a",
        f"{m.first:.2f} s",
        _mebibytes(m),
        _error(m.error),
    )


def _milliseconds(m: Measurement) -> str:
    low, high = m.quartiles
    return f"{_digits(1e3 * m.median)} ({_digits(1e3 * low)} – {_digits(1e3 * high)})"


def _mebibytes(m: Measurement) -> str:
    """The most memory held; some systems do not tell."""
    return "n/a" if m.peak is None else f"{m.peak / 2**20:.0f}"


def _digits(number: float) -> str:
    """Three of them."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _error(error: float | None) -> str:
    if error is None:
        return "n/a"
    return f"**wrong**: {error:.0e}" if not error < WRONG else f"{error:.0e}"


def _rates(run: Run) -> str:
    """What the time above means in arithmetic."""
    mine, peak = ours(run, works.DENSE), peak_rate(run)
    if mine is None or peak is None:
        return ""
    work = operations(works.DENSE)
    rate = work / mine.median
    return (
        f"The matrix products of a collapsed Taylor propagation, `2 n (d + 2) Σ w_in w_out`, are "
        f"{work / 1e9:.2f} Gflop: {rate / 1e9:.0f} Gflop/s here, {100 * rate / peak:.0f} % of the "
        f"{peak / 1e9:.0f} that a large matrix product reaches between the same rounds. (An engine "
        "that saves some of them is credited with all.)"
    )


FIXED = {
    "points": "2 inputs and 4 layers of 256 units",
    "inputs": "64 points and 4 layers of 256 units",
    "depth": "8 inputs, 512 points and layers of 256 units",
}


def _growth(run: Run) -> str:
    parts = ["## Growth of the Laplacian"]
    for what, sizes in works.GROWTH.items():
        rows = [_growth_row(run, size, work) for size, work in sizes.items() if run.of(work.name)]
        if rows:
            parts.append(f"With {what}: {FIXED[what]}.")
            head = (what, OURS, "TensorFlow, nested tape", "folx, dense")
            parts.append(table(head, rows))
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _growth_row(run: Run, size: int, work: Work) -> tuple[str, ...]:
    found = [ours(run, work), *grown(run, work)]
    cells = [
        "n/a" if m is None else f"{_digits(1e3 * m.median)} ms, {_mebibytes(m)} MiB" for m in found
    ]
    return f"{size:,}", *cells


def _every_way(run: Run) -> str:
    parts = ["## All ways"]
    for work in works.EVERYTHING:
        ways, mine = run.of(work.name), ours(run, work)
        if len(ways) < 2:
            continue
        rows = [
            _row(f"{m.peer}: {m.way}", m, mine)
            if m.seconds
            else (f"{m.peer}: {m.way}", f"n/a: {m.failure}", "", "", "", "")
            for m in ways
            if m.peer not in (MACHINE, PRODUCTS)
        ]
        head = (work.title, "ms", "× ours", "first", "MiB", "error")
        parts.append(table(head, rows))
    return "\n\n".join(parts)


BOUND = """\
**Bound**: what would be reached if nothing but the matrix products and convolutions of second-order
propagation took time, measured in the same turns (`benchmarks/race/peers/products.py`; the faster
of graph and XLA): d + 2 rows for each point and layer, and no activation. **By hand**: what the
same propagation reaches if it is written out for this network
(`benchmarks/race/peers/by_hand.py`)."""


def _to_reach(run: Run) -> str:
    rows = [_goal_row(goal) for goal in goals(run)]
    return f"## To reach\n\n{BOUND}\n\n" + table(
        ("", "asked", "measured", "reached", "bound", "by hand"), rows
    )


def _goal_row(goal: Goal) -> tuple[str, ...]:
    asked = "at least" if goal.at_least else "at most"
    measured = "n/a" if goal.measured is None else f"{_digits(goal.measured)}{goal.unit}"
    reached = {True: "yes", False: "**no**", None: "not measured"}[goal.reached]
    others = (
        "" if other is None else f"{_digits(other)}{goal.unit}"
        for other in (goal.bound, goal.by_hand)
    )
    return goal.what, f"{asked} {goal.asked:g}{goal.unit}", measured, reached, *others
