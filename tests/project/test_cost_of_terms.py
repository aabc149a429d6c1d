"""The table of docs/equations.md that says what derivatives cost is that of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_curvature.engines.taylor.interpolation import bilaplacian, plan

PAGE = (Path(__file__).parents[2] / "docs" / "equations.md").read_text()

TERMS = {
    "u_x": [(1,)],
    "u_xx": [(1, 1)],
    "u_xxx, and with it u_x, u_xx": [(1, 1, 1), (1,), (1, 1)],
    "u_xxxx, and with it all below": [(1,) * 4, (1,), (1, 1), (1, 1, 1)],
    "u_t, u_x, u_xxx": [(0,), (1,), (1, 1, 1)],
    "u_xy": [(0, 1)],
    "u_xx, u_yy, u_xy": [(0, 0), (1, 1), (0, 1)],
    "u_xxy": [(0, 0, 1)],
    "u_xxyy": [(0, 0, 1, 1)],
    "u_xyz": [(0, 1, 2)],
}


@pytest.mark.parametrize("title", TERMS)
def test_partial_derivatives(title):
    partials = TERMS[title]
    planned = plan(partials, 3)
    highest = len(planned.counts)
    sums = min(planned.counts[-1], sum(len(partial) == highest for partial in set(partials)))
    coefficients = sum(planned.counts[:-1]) + sums
    assert f"| {title} | {planned.counts[0]} | {coefficients} |" in PAGE


def test_biharmonic():
    directions = [len(bilaplacian(width)[1]) for width in (2, 3, 4)]
    coefficients = [3 * count + 1 for count in directions]
    said = " | ".join(", ".join(map(str, row)) for row in (directions, coefficients))
    assert f'| `"biharmonic"` of 2, 3, 4 inputs | {said} |' in PAGE
    assert len(bilaplacian(6)[1]) == 6**2
