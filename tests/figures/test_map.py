"""The map of the classes: points where ``project`` puts them, in the colours of their clusters."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from oracle import standardized
from scipy.spatial.distance import cdist, pdist

from classrel_db import figures
from classrel_db.errors import ArgumentError, UnknownModelError

from .conftest import ONE, weights
from .seen import seen


def test_points_are_where_project_puts_them(picture, real):
    drawn, texts = picture("map", "page")
    (axis,) = drawn.axes
    (dots,) = axis.collections
    asked = real.project(ONE)
    found = np.asarray(asked.project("x, y").fetchall())
    np.testing.assert_allclose(np.asarray(dots.get_offsets()), found)
    assert drawn.data.fetchall() == asked.fetchall()
    clusters = [row[0] for row in real.cluster(ONE, 24).project("cluster").fetchall()]
    shades = {}
    for cluster, i in zip(clusters, real.leaf_order(ONE), strict=True):
        shades.setdefault(cluster, set()).add(to_hex(dots.get_facecolors()[i]))
    assert [len(each) for each in shades.values()] == [1] * 24
    names = [each for each in texts if each.artist.axes is axis and each.text.endswith(")")
             and "axis" not in each.text]  # fmt: skip
    assert len(names) == 24
    x, y, trust = asked.project("explained_x, explained_y, trustworthiness").fetchall()[0]
    assert axis.get_xlabel() == f"axis 1 ({100 * x:.1f} % of the variance)"
    assert axis.get_ylabel() == f"axis 2 ({100 * y:.1f} % of the variance)"
    assert f"trustworthiness {trust:.2f}" in drawn.figure.get_suptitle()


def test_few_classes_have_their_labels_near_their_points(small):
    drawn = figures.class_map(small, "twelve")
    (dots,) = drawn.axes[0].collections
    places = np.asarray(dots.get_offsets())
    texts = [each for each in seen(drawn.figure) if each.text.startswith("species")]
    assert len(texts) == 12
    scale = drawn.axes[0].transData
    shown = scale.transform(places) * 72 / drawn.figure.dpi
    for each in texts:
        i = int(each.text.split()[1])
        # in a figure of 500 points across, a label is next to its point
        assert np.hypot(*(each.centre - shown[i])) < 60


def test_the_plane_keeps_the_distances_that_it_can(small):
    """Three classes lie in a plane as they are."""
    drawn = figures.class_map(small, "three")
    Z = standardized(weights(3))
    unit = Z / np.linalg.norm(Z, axis=1)[:, None]
    places = np.asarray(drawn.axes[0].collections[0].get_offsets())
    np.testing.assert_allclose(pdist(places), pdist(unit), atol=1e-5)
    assert cdist(places, places).shape == (3, 3)


def test_the_same_map_twice(small):
    one, two = (figures.class_map(small, "hundred") for _ in range(2))
    assert [t.get_position() for t in one.axes[0].texts] == [
        t.get_position() for t in two.axes[0].texts
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [({"by": "tsne"}, "tsne.*mds"), ({"clusters": 13}, "13.*1 to 12"), ({"clusters": -1}, "-1"),
     ({"seed": -1}, "seed")],
)  # fmt: skip
def test_bad_arguments_are_refused(small, given, message):
    with pytest.raises(ArgumentError, match=message):
        figures.class_map(small, "twelve", **given)
    with pytest.raises(UnknownModelError, match="nobody"):
        figures.class_map(small, "nobody")
