"""Bounds of eigenvalues hold for every matrix between, and are the eigenvalues of a single one."""

import mpmath
import numpy as np
import pytest

from keras_curvature.proofs.interval_eigenvalues import largest_magnitude, smallest_eigenvalue

RNG = np.random.default_rng(0)


def symmetric(x):
    return (x + np.swapaxes(x, -1, -2)) / 2


@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("width", [0.0, 0.1, 3.0])
def test_the_eigenvalues_of_all_matrices_between_are_inside(d, width):
    middle = symmetric(RNG.normal(size=(50, d, d)))
    radius = width * np.abs(symmetric(RNG.normal(size=(50, d, d))))
    bounds = smallest_eigenvalue(middle - radius, middle + radius)
    sizes = largest_magnitude(middle - radius, middle + radius)
    for _ in range(100):
        share = symmetric(RNG.choice([-1, 1, RNG.uniform(-1, 1)], size=(50, d, d)))
        found = np.linalg.eigvalsh(middle + share * radius)
        slack = 1e-13 * (1 + np.abs(found).max())  # of `eigvalsh` itself
        assert (bounds[0] <= found[:, 0] + slack).all()
        assert (sizes[1] >= np.abs(found).max(axis=1) - slack).all()
    at_middle = np.linalg.eigvalsh(middle)
    # The upper bound of the least, and the lower one of the largest, hold for the middle too.
    assert (bounds[1] >= at_middle[:, 0] - 1e-13).all()
    assert (sizes[0] <= np.abs(at_middle).max(axis=1) + 1e-13).all()
    if width == 0:  # nothing but rounding is lost
        np.testing.assert_allclose(bounds, [at_middle[:, 0]] * 2, atol=1e-11)
        np.testing.assert_allclose(sizes, [np.abs(at_middle).max(axis=1)] * 2, atol=1e-11)


def test_a_matrix_without_an_end_leaves_what_its_diagonal_says():
    lower = np.array([[[1.0, -0.5], [-0.5, 2.0]], [[1.0, -0.5], [-0.5, -np.inf]]])
    upper = np.array([[[np.inf, 0.5], [0.5, np.inf]], [[np.inf, 0.5], [0.5, -3.0]]])
    least, most = smallest_eigenvalue(lower, upper)
    assert 0.4 < least[0] <= 0.5
    assert least[1] == -np.inf
    assert most[1] == -3


SCALES = [1e-320, 1e-308, 1e-200, 1e-160, 1e150, 1e200, 1e300, 1.7e308]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_what_underflows_or_overflows_is_inside_too(d, scale):
    """Against 60 digits, of matrices as they are, whose entries have no width."""
    matrices = symmetric(np.random.default_rng(d).normal(size=(6, d, d)))
    matrices = scale * (matrices / np.abs(matrices).max(axis=(1, 2), keepdims=True))
    least, smallest = smallest_eigenvalue(matrices, matrices)
    below, above = largest_magnitude(matrices, matrices)
    with mpmath.workdps(60):
        for k, matrix in enumerate(matrices):
            found = sorted(mpmath.eigsy(mpmath.matrix(matrix.tolist()), eigvals_only=True))
            size = max(abs(found[0]), abs(found[-1]))
            slack = mpmath.mpf(10) ** -40 * size  # of these digits themselves
            assert mpmath.mpf(float(least[k])) <= found[0] + slack
            assert mpmath.mpf(float(smallest[k])) >= found[0] - slack
            assert mpmath.mpf(float(below[k])) <= size + slack
            assert mpmath.mpf(float(above[k])) >= size - slack
            near = 1e-2 if scale == 1e-320 else 1e-11  # 1e-320 has three digits
            if above[k] < np.inf:
                assert float((mpmath.mpf(float(above[k])) - size) / size) < near
            if least[k] > -np.inf:
                assert float((found[0] - mpmath.mpf(float(least[k]))) / size) < near
