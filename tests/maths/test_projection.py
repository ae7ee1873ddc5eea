"""Maps of classes against scikit-bio, scikit-learn, scipy and the definitions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist, squareform
from skbio.stats.ordination import pcoa
from sklearn.manifold import trustworthiness

from classrel_db.maths import unit
from classrel_db.maths.projection import laid_upon, principal_coordinates, trust

SHAPES = [(40, 9), (9, 40), (25, 25), (300, 3)]


def drawn(n, dim, seed=0):
    return unit(np.random.default_rng(seed).normal(size=(n, dim)) * np.linspace(3, 1, dim))


def chords(U):
    return squareform(pdist(U))  # from the differences themselves


@pytest.mark.parametrize(("n", "dim"), SHAPES)
def test_the_axes_are_the_principal_coordinates_of_scikit_bio(n, dim):
    U = drawn(n, dim)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that all dimensions are computed
        found = pcoa(chords(U))
    wanted = found.samples.to_numpy()[:, :2]
    points, shares = principal_coordinates(U)
    turned = np.sign((points * wanted).sum(axis=0))
    assert points == pytest.approx(wanted * turned, abs=1e-9)
    assert shares == pytest.approx(found.proportion_explained[:2], abs=1e-9)


@pytest.mark.parametrize(("n", "dim"), SHAPES)
def test_the_axes_are_eigenvectors_of_gowers_matrix(n, dim):
    U = drawn(n, dim, seed=1)
    J = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-J @ chords(U) ** 2 @ J / 2)
    points, shares = principal_coordinates(U)
    for axis in (0, 1):
        value, vector = values[-1 - axis], vectors[:, -1 - axis]
        assert np.abs(points[:, axis]) == pytest.approx(np.abs(vector) * value**0.5, abs=1e-9)
        assert shares[axis] == pytest.approx(value / values.sum())


def test_each_axis_points_to_where_the_farthest_class_is_whatever_the_order():
    U = drawn(30, 8, seed=2)
    points, _ = principal_coordinates(U)
    for axis in (0, 1):
        assert points[np.abs(points[:, axis]).argmax(), axis] > 0
    order = np.random.default_rng(0).permutation(30)
    assert principal_coordinates(U[order])[0] == pytest.approx(points[order], abs=1e-9)


def test_two_classes_lie_on_a_line_at_their_distance():
    U = drawn(2, 5)
    points, shares = principal_coordinates(U)
    half = chords(U)[0, 1] / 2
    assert points.tolist() == [[pytest.approx(half), 0], [pytest.approx(-half), 0]]
    assert shares == [pytest.approx(1), 0]


@pytest.mark.parametrize("n", [1, 4])
def test_classes_that_are_all_alike_lie_on_one_point(n):
    points, shares = principal_coordinates(np.repeat(drawn(1, 6), n, axis=0))
    assert np.array_equal(points, np.zeros((n, 2)))
    assert shares == [0, 0]


@pytest.mark.parametrize(("seed", "k"), [(0, 1), (1, 5), (2, 12)])
def test_trustworthiness_is_that_of_scikit_learn(seed, k):
    U = drawn(50, 10, seed)
    points, _ = principal_coordinates(U)
    # at every class its chord distances: the same neighbours
    wanted = trustworthiness(chords(U), points, n_neighbors=k, metric="precomputed")
    assert trust(U, points, k).trustworthiness == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(("seed", "k"), [(0, 1), (1, 5), (2, 12)])
def test_what_is_kept_is_what_both_have_among_the_nearest(seed, k):
    U, points = drawn(50, 10, seed), np.random.default_rng(seed).normal(size=(50, 2))
    near, on_map = (
        [set(np.argsort(row)[1 : k + 1]) for row in distances]
        for distances in (chords(U) - np.eye(50), squareform(pdist(points)) - np.eye(50))
    )
    wanted = [len(a & b) / k for a, b in zip(near, on_map, strict=True)]
    assert trust(U, points, k).kept.tolist() == pytest.approx(wanted)


def test_a_map_that_is_the_model_is_trusted_and_one_at_random_is_not():
    circle = drawn(80, 2)
    same = trust(circle, circle, 7)
    assert (same.kept == 1).all()
    assert same.trustworthiness == 1
    random = trust(drawn(400, 30), np.random.default_rng(5).normal(size=(400, 2)), 7)
    assert random.trustworthiness == pytest.approx(0.5, abs=0.05)
    assert random.kept.mean() < 0.1


def test_points_that_coincide_are_no_neighbours_of_themselves():
    U = drawn(12, 4)
    found = trust(U, np.zeros((12, 2)), 3)
    assert 0 <= found.trustworthiness <= 1
    assert ((found.kept >= 0) & (found.kept <= 1)).all()
    alike = np.repeat(drawn(3, 4), 4, axis=0)  # three of each class's own, at no distance
    assert (trust(alike, alike[:, :2], 3).kept == 1).all()


@pytest.mark.parametrize("k", [0, 5, -1])
def test_there_are_more_than_twice_as_many_classes_as_neighbours(k):
    with pytest.raises(ValueError, match="from 1 to 4"):
        trust(drawn(10, 4), drawn(10, 2), k)


@pytest.mark.parametrize("mirror", [1, -1])
def test_a_map_is_laid_upon_another_by_what_they_share(mirror):
    random = np.random.default_rng(3)
    targets = random.normal(size=(9, 2))
    angle = 1.1
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = targets @ R * [1, mirror] + [3, -7]
    points = np.concatenate([moved, random.normal(size=(4, 2))])
    turned = laid_upon(points, moved, targets)
    assert turned[:9] == pytest.approx(targets, abs=1e-12)
    assert pdist(turned) == pytest.approx(pdist(points))


def test_a_map_is_turned_as_scipy_turns_it():
    random = np.random.default_rng(4)
    targets, points = random.normal(size=(2, 20, 2))
    wanted, turned, _ = procrustes(targets, points)
    found = laid_upon(points, points, targets)
    # scipy scales both, which turns nothing
    found = (found - found.mean(axis=0)) / np.linalg.norm(found - found.mean(axis=0))
    assert found * np.linalg.norm(turned) == pytest.approx(turned, abs=1e-12)
    assert ((found - wanted) ** 2).sum() <= ((points - wanted) ** 2).sum()
