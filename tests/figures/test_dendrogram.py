"""The drawn tree, read back from its lines, is that of scipy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import same_color, to_hex
from matplotlib.figure import Figure
from oracle import standardized
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from classrel_db import figures
from classrel_db.errors import ArgumentError, UnknownClassError
from classrel_db.figures.lettering import shortened

from .conftest import CRAB, ONE, weights
from .seen import overlapping, seen

pytestmark = pytest.mark.long

ORIENTATIONS = ["left", "right", "top", "bottom"]


def joined(standardised):
    """The heights at which scipy's Ward joins every two classes (n×n), on chord distances."""
    unit = standardised / np.linalg.norm(standardised, axis=1)[:, None]
    return squareform(hierarchy.cophenet(hierarchy.linkage(unit, "ward")))


def branches(axis):
    """The branches as (foot, top) points: (place, height) of each, whatever way the tree stands."""
    (lines,) = [each for each in axis.collections if isinstance(each, LineCollection)]
    return [np.asarray(each) for each in lines.get_segments()]


def read_back(feet, tops, n):
    """The heights at which a drawn tree joins its leaves (n×n), from the (place, height) of each branch."""
    under = {}
    known = {(i, 0.0): [i] for i in range(n)}
    met = np.zeros((n, n))

    def key(point):
        return round(point[0], 3), round(point[1], 5)

    pairs = sorted(zip(feet, tops, strict=True), key=lambda each: (each[1][1], each[0][1]))
    known = {key((float(i), 0.0)): [i] for i in range(n)}
    for foot, top in pairs:
        # a branch hangs from a fork; all that is below it is known, for its fork is the higher
        below = known[key(foot)]
        under.setdefault(key(top), []).append(below)
        sides = under[key(top)]
        if len(sides) == 2:
            met[np.ix_(*sides)] = met[np.ix_(*sides[::-1])] = top[1]
            known[key(top)] = [*sides[0], *sides[1]]
    assert max(map(len, known.values())) == n
    return met


def upright(axis, orientation, n):
    turned = [
        each if orientation in {"left", "right"} else each[:, ::-1] for each in branches(axis)
    ]
    # (height, place) at the foot, at the corner and at the fork
    for foot, corner, top in turned:
        assert foot[1] == corner[1]
        assert corner[0] == top[0]
    return read_back(
        [(each[0][1], each[0][0]) for each in turned],
        [(each[2][1], each[2][0]) for each in turned],
        n,
    )


def labels_along(axis, orientation):
    ticks = axis.yaxis if orientation in {"left", "right"} else axis.xaxis
    assert list(ticks.get_ticklocs()) == list(range(len(ticks.get_ticklocs())))
    return [label.get_text() for label in ticks.get_ticklabels()]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_tree_read_back_is_scipys(small, orientation):
    drawn = figures.dendrogram(small, "sixty", orientation=orientation, clusters=5)
    (axis,) = drawn.axes
    labels = labels_along(axis, orientation)
    order = [int(label.split()[1]) for label in labels]
    assert sorted(order) == list(range(60))
    expected = joined(standardized(weights(60)))[np.ix_(order, order)]
    np.testing.assert_allclose(upright(axis, orientation, 60), expected, atol=1e-5)
    # the root is where it is said to be, the first leaf at the left or on top
    low, high = axis.get_xlim() if orientation in {"left", "right"} else axis.get_ylim()
    assert (low > high) == (orientation in {"left", "bottom"})
    assert max(low, high) >= expected.max()
    told = axis.get_xlabel() if orientation in {"left", "right"} else axis.get_ylabel()
    assert told == "height, ward linkage of chord distances"


def test_the_tree_of_a_real_head_is_scipys(picture, heads, real):
    drawn, _ = picture("dendrogram", "page")
    order = real.leaf_order(ONE)
    known = dict(real.classes(ONE).project("class_idx, class").fetchall())
    assert labels_along(drawn.axes[0], "left") == [known[i] for i in order]
    expected = joined(heads[ONE].standardized)[np.ix_(order, order)]
    np.testing.assert_allclose(upright(drawn.axes[0], "left", 1000), expected, atol=2e-5)


def round_places(axis, n, tallest):
    """The feet and tops of a round tree's branches, as (place, height)."""
    feet, tops = [], []
    for each in branches(axis):
        radius = np.hypot(*each.T)
        turn = np.unwrap(np.arctan2(each[:, 1], each[:, 0]))
        # an arc at the fork's height, then straight out
        np.testing.assert_allclose(radius[:-1], radius[0], atol=1e-9)
        if radius[0] > 1e-6:
            np.testing.assert_allclose(turn[-1], turn[-2], atol=1e-6)
        feet.append((turn[-1], (1 - radius[-1]) * tallest))
        tops.append((turn[0], (1 - radius[0]) * tallest))
    return feet, tops


@pytest.mark.parametrize("name", ["sixty", "real"])
def test_the_round_tree_has_the_same_branches(small, picture, real, heads, name):
    if name == "sixty":
        drawn, n, Z = figures.dendrogram(small, "sixty", circle=True), 60, standardized(weights(60))
        order = small.leaf_order("sixty")
        texts = seen(drawn.figure)
        known = {i: f"species {i:02d}" for i in range(60)}
    else:
        drawn, texts = picture("circle", "page")
        n, Z, order = 1000, heads[ONE].standardized, real.leaf_order(ONE)
        known = dict(real.classes(ONE).project("class_idx, class").fetchall())
    expected = joined(Z)[np.ix_(order, order)]
    feet, tops = round_places(drawn.axes[0], n, expected.max())
    # the leaves on the rim, clockwise from the top, by equal steps
    rim = [angle for angle, height in feet if abs(height) < 1e-6]
    assert len(rim) == n
    rising = np.sort((np.pi / 2 - np.asarray(rim)) % (2 * np.pi))
    steps = np.diff(rising)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    assert 0 < rising[0] <= 3 * steps[0]
    gap = rising[0] + 2 * np.pi - rising[-1]
    assert gap == pytest.approx(3 * steps[0])  # which says where it starts
    # heights of the joints
    heights = sorted(height for _, height in tops)
    merges = np.repeat(np.unique(expected[np.triu_indices(n, 1)].round(9)), 2)
    if len(merges) == len(heights):
        np.testing.assert_allclose(heights, merges, atol=1e-5)
    assert max(heights) == pytest.approx(expected.max())
    # the labels go round in the order of the leaves, each at its own
    wanted = [known[i] for i in order]
    own = [each.artist for each in texts if each.text in set(wanted)]
    found = [text for text in own if abs(np.hypot(*text.get_position()) - 1.057) < 0.01]
    assert [text.get_text() for text in found] == wanted
    turns = [(np.pi / 2 - np.arctan2(*text.get_position()[::-1])) % (2 * np.pi) for text in found]
    np.testing.assert_allclose(turns, rising, atol=1e-6)


def test_the_ring_covers_each_clusters_leaves_and_no_other(picture, real):
    drawn, texts = picture("circle", "page")
    (axis,) = drawn.axes
    rows = real.cluster(ONE, 24).project("cluster, name").fetchall()
    clusters = list(dict.fromkeys(rows))
    (ring,) = [each for each in axis.collections if isinstance(each, PolyCollection)]
    wedges = [path.vertices for path in ring.get_paths()]
    assert len(wedges) == 24
    step = 2 * np.pi / 1002
    leaf = (np.arange(1000) + 1.5) * step
    covered = np.full(1000, -1)
    for number, wedge in enumerate(wedges):
        radius = np.hypot(*wedge.T)
        assert radius.min() > 1
        assert radius.max() < 1.057
        turn = (np.pi / 2 - np.arctan2(wedge[:, 1], wedge[:, 0])) % (2 * np.pi)
        inside = (leaf > turn.min()) & (leaf < turn.max())
        assert (covered[inside] == -1).all()
        covered[inside] = number
    assert [clusters[number] for number in covered] == rows
    paint = [to_hex(colour) for colour in ring.get_facecolors()]
    assert all(a != b for a, b in zip(paint, [*paint[1:], paint[0]], strict=True))
    outside = [
        each for each in texts if each.text.endswith(")") and each.artist.axes is axis
        and np.hypot(*each.artist.get_position()) > 1.1
    ]  # fmt: skip
    wanted = [(shortened(name, 24), rows.count((number, name))) for number, name in clusters]
    assert {each.text for each in outside} == {f"{name} ({size})" for name, size in wanted}
    assert len(outside) == 24
    assert overlapping(outside) == []


def test_branches_have_the_colours_of_their_clusters_and_grey_above(small):
    drawn = figures.dendrogram(small, "sixty", clusters=6)
    (axis,) = drawn.axes
    (lines,) = [each for each in axis.collections if isinstance(each, LineCollection)]
    rows = [row[0] for row in small.cluster("sixty", 6).project("cluster").fetchall()]
    by_cluster = {}
    for segment, colour in zip(lines.get_segments(), lines.get_colors(), strict=True):
        if segment[0][0] == 0:
            by_cluster.setdefault(rows[round(segment[0][1])], set()).add(to_hex(colour))
    assert sorted(map(len, by_cluster.values())) == [1] * 6
    paint = [next(iter(each)) for each in by_cluster.values()]
    assert all(a != b for a, b in pairwise(paint))
    tallest = max(zip(lines.get_segments(), lines.get_colors(), strict=True),
                  key=lambda each: each[0][1][0])  # fmt: skip
    assert same_color(tallest[1], "#8c8c8c")


def test_support_is_written_at_its_fork(small):
    drawn = figures.dendrogram(small, "twelve", support=True, resamples=20, seed=4)
    rows = small.tree("twelve", support=True, resamples=20, seed=4)
    asked = rows.filter("size > 1 AND parent IS NOT NULL").project("height, support").fetchall()
    written = {
        round(float(each.artist.xy[0]), 9): each.text
        for each in seen(drawn.figure)
        if hasattr(each.artist, "xy") and each.text.isdigit()
    }
    assert written == {round(height, 9): f"{100 * share:.0f}" for height, share in asked}
    assert len(asked) == 10
    assert "20 resamples" in drawn.figure.get_suptitle()


def test_around_a_class_only_its_clade(picture, real):
    drawn, _ = picture("dendrogram around a class", "column")
    rows = real.tree(ONE, around=CRAB, k=25).filter("size = 1").project("name").fetchall()
    assert labels_along(drawn.axes[0], "left") == [name for (name,) in rows]
    assert CRAB in labels_along(drawn.axes[0], "left")
    assert drawn.figure.get_suptitle().startswith(f"{ONE}: {len(rows)} classes")


def test_clades_are_named_with_their_sizes(picture, real):
    drawn, _ = picture("dendrogram of clades", "page")
    labels = labels_along(drawn.axes[0], "left")
    assert len(labels) == 60
    sizes = [int(label.rsplit("(", 1)[1].rstrip(")")) if label.endswith(")") else 1
             for label in labels]  # fmt: skip
    assert sum(sizes) == 1000
    assert "1,000 classes, the 60 topmost clades" in drawn.figure.get_suptitle()


def test_of_more_classes_than_there_is_room_for_the_topmost_clades(large):
    drawn = figures.dendrogram(large, "large", clusters=0)
    labels = labels_along(drawn.axes[0], "left")
    assert len(labels) == 2000
    sizes = [int(label.rsplit("(", 1)[1].rstrip(")")) if label.endswith(")") else 1
             for label in labels]  # fmt: skip
    assert sum(sizes) == 2100
    assert "2,100 classes, the 2,000 topmost clades" in drawn.figure.get_suptitle()


def test_the_data_are_the_nodes_of_the_tree(small):
    drawn = figures.dendrogram(small, "twelve", circle=True)
    asked = small.tree("twelve")
    assert drawn.data.columns == asked.columns
    assert drawn.data.fetchall() == asked.fetchall()


@pytest.mark.parametrize("circle", [False, True])
@pytest.mark.parametrize("name", ["two", "three", "four"])
def test_few_classes_have_a_tree(small, name, circle):
    drawn = figures.dendrogram(small, name, circle=circle)
    written = {each.text for each in seen(drawn.figure)}
    assert {f"species {i:02d}" for i in range({"two": 2, "three": 3, "four": 4}[name])} <= written


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"orientation": "up"}, ArgumentError, "up.*left, right, top, bottom"),
        ({"clusters": 13}, ArgumentError, "13.*1 to 12"),
        ({"clusters": -1}, ArgumentError, "-1"),
        ({"clusters": 4, "k": 3}, ArgumentError, "4 clusters of 3"),
        ({"clusters": 2, "around": "c00"}, ArgumentError, "whole tree"),
        ({"around": "nobody"}, UnknownClassError, "nobody"),
        ({"k": 13}, ArgumentError, "13.*1 to 12"),
        ({"k": 0}, ArgumentError, "0.*1 to 12"),
        ({"width": 3}, ArgumentError, "width is"),
        ({"support": True, "resamples": 0}, ArgumentError, "resamples"),
    ],
)
def test_bad_arguments_are_refused(small, given, error, message):
    with pytest.raises(error, match=message):
        figures.dendrogram(small, "twelve", **given)


@pytest.mark.parametrize("circle", [False, True])
def test_it_is_drawn_on_axes_that_are_given(small, circle):
    figure = Figure(figsize=(8, 5))
    axes = figure.subplots(1, 2)
    drawn = figures.dendrogram(small, "twelve", circle=circle, ax=axes[1])
    assert drawn.figure is figure
    assert drawn.axes == (axes[1],)
    assert len(figure.axes) == 2
    assert figure.get_suptitle() == ""
    assert not axes[0].has_data()
    assert axes[1].has_data()
