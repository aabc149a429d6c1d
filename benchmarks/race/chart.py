"""Draws how the peers compare, and how time and memory grow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.race import work as works
from benchmarks.race.contenders import FOLX, OURS, PEERS, TENSORFLOW
from benchmarks.race.findings import grown, ours
from benchmarks.race.results import Measurement, Run, ratio
from benchmarks.race.work import Work

COLOURS = dict(
    zip(
        PEERS,
        ("#e8710a", "#a0522d", "#1a73e8", "#7baaf7", "#0b3d91", "#c5221f", "#f28b82"),
        strict=True,
    )
)
MARKERS = dict(zip(PEERS, "osD^vPX", strict=True))
OWN_COLOUR = "#188038"
FURTHEST = 40
"""Times as long: whatever is slower still is drawn at the edge."""


def draw(run: Run, path: Path) -> None:
    """Writes the picture: pixels, since as lines of text it is longer than the benchmark itself."""
    compared = [*works.EXACT, *works.TRACES, *works.DEEP_TRACES, *works.STEPS]
    measured = [work for work in compared if ours(run, work)]
    growing = any(run.of(work.name) for work in works.GROWING)
    heights = [1 + 0.3 * len(measured), 2.6 * growing]
    figure = Figure(figsize=(11, sum(heights)), layout="constrained")
    ratios = heights[: 1 + growing]
    parts = figure.subfigures(1 + growing, 1, height_ratios=ratios, squeeze=False)[:, 0]
    _comparison(parts[0].subplots(), run, measured)
    if growing:
        _all_growth(parts[1].subplots(1, 4), run)
    figure.savefig(path, dpi=130)


def _comparison(axes: Axes, run: Run, measured: list[Work]) -> None:
    axes.axvline(1, color=OWN_COLOUR, linewidth=2, label=OURS, zorder=1)
    for peer in PEERS:
        points = []
        for row, work in enumerate(measured):
            best, mine = run.best(work.name, peer), ours(run, work)
            if best is not None and mine is not None:
                points.append((min(ratio(best, mine), FURTHEST), row))
        if points:
            axes.scatter(
                *zip(*points, strict=True),
                s=48,
                color=COLOURS[peer],
                marker=MARKERS[peer],
                label=peer,
                zorder=2,
                clip_on=False,
            )
    axes.set_xscale("log")
    axes.set_xlim(0.4, FURTHEST)
    ticks = (0.5, 1, 2, 5, 10, 20, FURTHEST)
    axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks[:-1]] + [f"≥{FURTHEST}×"])
    axes.minorticks_off()
    axes.set_yticks(range(len(measured)), [work.title for work in measured])
    axes.invert_yaxis()
    axes.grid(axis="both", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(f"Time of each peer's fastest way, in multiples of {OURS}'s", loc="left")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)


def _all_growth(panels: list[Axes], run: Run) -> None:
    *times, memory = panels
    for axes, what in zip(times, works.GROWTH, strict=True):
        _growth(axes, run, what, lambda m: 1e3 * m.median)
        axes.set_title("Laplacian: ms", loc="left", fontsize="medium")
    _growth(memory, run, "points", lambda m: None if m.peak is None else m.peak / 2**20)
    memory.set_title("peak memory: MiB", loc="left", fontsize="medium")
    times[0].legend(frameon=False, fontsize="small")


def _growth(axes: Axes, run: Run, what: str, number: Callable[[Measurement], float | None]) -> None:
    sizes = {size: work for size, work in works.GROWTH[what].items() if run.of(work.name)}
    lines = {
        OURS: (OWN_COLOUR, "o", [ours(run, work) for work in sizes.values()]),
        "nested tape": (*_look(TENSORFLOW), [grown(run, work)[0] for work in sizes.values()]),
        FOLX: (*_look(FOLX), [grown(run, work)[1] for work in sizes.values()]),
    }
    for label, (colour, marker, found) in lines.items():
        points = [(s, number(m)) for s, m in zip(sizes, found, strict=True) if m is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(what)
    axes.set_xticks(list(sizes), [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)


def _look(peer: str) -> tuple[str, str]:
    return COLOURS[peer], MARKERS[peer]
