"""Questions to a run that the report, the chart and the goals share."""

from __future__ import annotations

from benchmarks.race import work as works
from benchmarks.race.contenders import FOLX, GROWERS, MACHINE, OURS, TENSORFLOW
from benchmarks.race.networks import Mlp
from benchmarks.race.results import Measurement, Run, ratio
from benchmarks.race.work import Work


def ours(run: Run, work: Work) -> Measurement | None:
    """This library with its default engine: the faster of graph and XLA, as for the recipes."""
    ways = [m for m in run.of(work.name, OURS) if m.seconds and m.recipe == "auto"]
    return min(ways, key=lambda m: m.median, default=None)


def grown(run: Run, work: Work) -> tuple[Measurement | None, Measurement | None]:
    """TensorFlow's nested tape, the faster of graph and XLA, and folx."""
    return _grown(run, work, TENSORFLOW), _grown(run, work, FOLX)


def _grown(run: Run, work: Work, peer: str) -> Measurement | None:
    recipes = {contender.recipe for contender in GROWERS if contender.peer == peer}
    ways = [m for m in run.of(work.name, peer) if m.seconds and m.recipe in recipes]
    return min(ways, key=lambda m: m.median, default=None)


def times_as_fast(run: Run, work: Work, peer: str, other: str) -> float | None:
    """How many times as fast as a peer's best way another one's is, if both were measured."""
    best, mine = run.best(work.name, peer), run.best(work.name, other)
    return ratio(best, mine) if best and mine else None


def operations(work: Work) -> float:
    """Floating-point operations of the matrix products in a collapsed Taylor propagation.

    `2 n (d + 2) Σ w_in w_out`: d directions, the value and the second order pass each layer.
    """
    net = work.network
    assert isinstance(net, Mlp)
    layers = sum(a * b for a, b in zip(net.widths, net.widths[1:], strict=False))
    return 2 * work.points * (net.inputs + 2) * layers


def peak_rate(run: Run) -> float | None:
    """Floating-point operations per second of one large matrix product."""
    product = run.best(works.DENSE.name, MACHINE)
    return None if product is None else 2 * works.TILE**3 / product.median


def compiling(m: Measurement) -> float:
    """Seconds that only the first call takes."""
    assert m.first is not None
    return max(0.0, m.first - m.median)
