"""Heat maps and the agreement of models, against matrices of the raw heads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from oracle import REAL, cosine_matrix, standardized
from scipy.cluster import hierarchy
from scipy.spatial.distance import cdist, squareform

import classrel_db
from classrel_db import figures
from classrel_db.errors import ArgumentError, UnknownModelError

from .conftest import ONE, weights
from .seen import seen


def image(axis):
    (found,) = axis.images
    return found


def off_diagonal(matrix):
    return matrix[~np.eye(len(matrix), dtype=bool)]


def others(drawn):
    """The axes of a figure beside those of its images and of their scales."""
    scales = {image(axis).colorbar.ax for axis in drawn.axes if image(axis).colorbar}
    return [axis for axis in drawn.figure.axes if axis not in {*drawn.axes, *scales}]


@pytest.mark.parametrize("name", ["heatmap", "heatmap in class order"])
def test_the_images_are_the_cosines_and_the_distances(picture, heads, real, name):
    drawn, _ = picture(name, "page")
    order = real.leaf_order(ONE) if name == "heatmap" else np.arange(1000)
    assert sorted(order) == list(range(1000))
    Z = heads[ONE].standardized[order]
    for axis, expected, atol in zip(
        drawn.axes, (cosine_matrix(Z), cdist(Z, Z)), (1e-6, 2e-4), strict=True
    ):
        shown = image(axis).get_array()
        assert (np.ma.getmaskarray(shown) == np.eye(1000, dtype=bool)).all()
        np.testing.assert_allclose(
            off_diagonal(shown.data), off_diagonal(expected), atol=atol, rtol=0
        )
        low, high = np.quantile(off_diagonal(expected), (0.005, 0.995))
        assert image(axis).get_clim() == pytest.approx((low, high), abs=10 * atol)
        assert image(axis).get_extent() == [-0.5, 999.5, 999.5, -0.5]
    assert drawn.axes[0].get_title(loc="left") == "cosine"
    assert drawn.axes[1].get_title(loc="left") == "Euclidean distance"


def test_bright_is_alike_in_both(picture):
    drawn, _ = picture("heatmap", "page")
    near, far = 0, 999  # neighbours in the tree, and opposite ends of it
    for axis in drawn.axes:
        shown = image(axis)
        bright = [shown.to_rgba(shown.get_array())[near, j, :3].sum() for j in (1, far)]
        assert bright[0] > bright[1]


def test_the_names_stand_at_the_rows_of_their_clusters(picture, real):
    drawn, texts = picture("heatmap", "page")
    rows = real.cluster(ONE, 12).project("cluster, name").fetchall()
    sizes = {name: sum(row[1] == name for row in rows) for _, name in rows}
    starts, last = {}, 0
    for name, size in sizes.items():
        starts[name] = (last, last + size)
        last += size
    shown = {each.text: each.artist.get_position()[1] for each in texts}
    written = [f"{name} ({size})" for name, size in sizes.items()]
    assert set(written) <= set(shown)
    places = [shown[name] for name in written]
    assert places == sorted(places)
    bars = [line for line in drawn.axes[1].lines if line.get_linewidth() > 2]
    spans = [tuple(np.round(line.get_ydata()).astype(int)) for line in bars]
    assert spans == [(first, last - 1) for first, last in starts.values()]
    paint = [line.get_color() for line in bars]
    assert all(a != b for a, b in pairwise(paint))


def test_the_tree_beside_it_has_the_rows_in_its_order(small):
    """Its joins, from the leaves at 0, 1, 2 … up, are those of scipy."""
    drawn = figures.heatmap(small, "sixty")
    (stem,) = others(drawn)
    order = small.leaf_order("sixty")
    Z = standardized(weights(60))[order]
    unit = Z / np.linalg.norm(Z, axis=1)[:, None]
    merges = hierarchy.linkage(unit, "ward")
    # of each fork two branches
    heights = sorted(float(segment[1][0]) for segment in stem.collections[0].get_segments())
    assert heights == pytest.approx(sorted(np.repeat(merges[:, 2], 2)), abs=1e-5)
    assert stem.get_ylim() == drawn.axes[0].get_ylim() == (59.5, -0.5)
    assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == [
        f"species {i:02d}" for i in order
    ]


@pytest.mark.parametrize("order", ["leaf", "class"])
def test_blocks_are_means_over_their_pairs(small, order):
    drawn = figures.heatmap(small, "hundred", order=order, most=7)
    places = small.leaf_order("hundred") if order == "leaf" else np.arange(100)
    Z = standardized(weights(100))[places]
    S, E = cosine_matrix(Z), cdist(Z, Z)
    starts = np.linspace(0, 100, 8).round().astype(int)
    for a in range(7):
        for b in range(7):
            pairs = [
                (i, j)
                for i in range(starts[a], starts[a + 1])
                for j in range(starts[b], starts[b + 1])
                if i != j
            ]
            shown = [image(axis).get_array()[a, b] for axis in drawn.axes]
            assert shown[0] == pytest.approx(np.mean([S[p] for p in pairs]), abs=1e-6)
            assert shown[1] == pytest.approx(np.sqrt(np.mean([E[p] ** 2 for p in pairs])), abs=1e-5)
    written = " ".join(each.text for each in seen(drawn.figure))
    assert "100 classes in 7 blocks of neighbouring classes" in written
    assert "cosine (mean of a block)" in written
    assert "Euclidean distance (root mean square of a block)" in written


def test_one_block_is_not_called_one_class(small):
    drawn = figures.heatmap(small, "twelve", most=1)
    written = " ".join(each.text for each in seen(drawn.figure))
    assert "one class" not in written
    assert drawn.data.fetchall()[0][5:7] == (12, 12)


def test_a_head_of_more_classes_than_pixels_is_drawn_in_blocks(large):
    drawn = figures.heatmap(large, "large", order="class")
    assert image(drawn.axes[0]).get_array().shape == (2000, 2000)
    assert "2,100 classes in 2,000 blocks" in drawn.figure.get_suptitle()
    # no name and no line of it for each of 2,000
    assert len(seen(drawn.figure)) < 40


@pytest.mark.parametrize("order", ["leaf", "class"])
def test_the_data_are_the_cells(small, order):
    drawn = figures.heatmap(small, "twelve", order=order)
    rows = drawn.data.fetchall()
    assert drawn.data.columns == [
        "model", "place_a", "place_b", "class_a", "class_b", "classes_a", "classes_b", "cosine",
        "euclidean",
    ]  # fmt: skip
    assert len(rows) == 66
    labels = [label.get_text() for label in drawn.axes[0].get_xticklabels()]
    for _, a, b, class_a, class_b, n_a, n_b, cosine, euclidean in rows:
        assert a < b
        assert (n_a, n_b) == (1, 1)
        assert (class_a, class_b) == (labels[a], labels[b])
        assert (cosine, euclidean) == tuple(image(axis).get_array()[b, a] for axis in drawn.axes)


def test_few_pairs_have_all_the_colours(small):
    drawn = figures.heatmap(small, "twelve")
    for axis in drawn.axes:
        assert image(axis).get_clim() == pytest.approx(
            (image(axis).get_array().min(), image(axis).get_array().max())
        )


@pytest.mark.parametrize("name", ["two", "three"])
def test_the_colours_of_few_classes_are_of_their_pairs_alone(small, name):
    for axis in figures.heatmap(small, name).axes:
        shown = image(axis).get_array().compressed()
        low, high = image(axis).get_clim()
        # nothing is at 0 that no pair has; one pair is in the middle
        if name == "two":
            assert (low + high) / 2 == pytest.approx(shown.max(), abs=1e-6)
            assert 0 < high - low <= 0.11
        else:
            assert (low, high) == pytest.approx((shown.min(), shown.max()), abs=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"order": "class", "clusters": 3}, "clusters are named beside the tree"),
        ({"clusters": 13}, "13.*1 to 12"),
        ({"clusters": -1}, "-1.*1 to 12"),
        ({"order": "size"}, "size"),
        ({"most": 0}, "most"),
        ({"width": "wide"}, "width is"),
        ({"method": "nonsense"}, "nonsense"),
        ({"distance": "nonsense"}, "nonsense"),
    ],
)
def test_bad_arguments_of_a_heatmap_are_refused(small, given, message):
    with pytest.raises(ArgumentError, match=message):
        figures.heatmap(small, "twelve", **given)
    with pytest.raises(UnknownModelError, match="nobody"):
        figures.heatmap(small, "nobody")


def test_a_heatmap_is_drawn_on_two_axes(small):
    figure = Figure()
    with pytest.raises(ArgumentError, match="3 axes"):
        figures.heatmap(small, "twelve", axes=figure.subplots(1, 3))


def test_colour_bars_stand_above_their_axes_also_in_a_part_of_a_figure(small):
    figure = Figure(figsize=(10, 6))
    part = figure.subfigures(1, 2)[1]
    axes = part.subplots(1, 2)
    figures.heatmap(small, "twelve", axes=axes)
    bars = [axis for axis in figure.axes if axis not in axes]
    for bar, axis in zip(bars, axes, strict=True):
        one, other = bar.get_window_extent(), axis.get_window_extent()
        assert (one.x0, one.x1) == pytest.approx((other.x0, other.x1), abs=1)


# --- agreement ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def estimates(real):
    return (
        real.compare_all(measures="rsa-spearman").project("model_a, model_b, estimate").fetchall()
    )


def test_the_matrix_is_what_compare_says_in_the_order_of_its_tree(picture, estimates):
    drawn, texts = picture("agreement", "column")
    (axis,) = drawn.axes
    shown = image(axis).get_array()
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert sorted(names) == sorted(REAL)
    assert [label.get_text() for label in axis.get_xticklabels()] == names
    assert (np.ma.getmaskarray(shown) == np.eye(3, dtype=bool)).all()
    for a, b, estimate in estimates:
        i, j = names.index(a), names.index(b)
        assert shown[i, j] == shown[j, i] == estimate
        assert sum(each.text == f"{estimate:.2f}" for each in texts) >= 2
    apart = squareform(1 - np.ma.filled(shown, 1.0), checks=False)
    merges = hierarchy.linkage(apart, "average")
    # the two that agree most are beside each other
    first = {names[int(i)] for i in merges[0, :2]}
    assert first in ({names[0], names[1]}, {names[1], names[2]})
    (stem,) = others(drawn)
    tops = sorted(float(seg[:, 1].max()) for c in stem.collections for seg in c.get_segments())
    assert tops == pytest.approx(sorted(merges[:, 2]))


def test_the_data_of_an_agreement_are_those_of_compare_all(picture, real):
    drawn, _ = picture("agreement", "column")
    asked = real.compare_all(measures="rsa-spearman")
    assert drawn.data.columns == asked.columns
    assert drawn.data.fetchall() == asked.fetchall()


def hatched(axis):
    """The cells, by row and column, that are hatched."""
    return {
        (round(each.get_y() + 0.5), round(each.get_x() + 0.5))
        for each in axis.patches
        if each.get_hatch()
    }


def test_what_cannot_be_compared_is_hatched_and_has_no_tree(small):
    drawn = figures.agreement(small, ["three", "twelve", "sixty"])
    (axis,) = drawn.axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    three = names.index("three")
    assert hatched(axis) == {
        (i, j) for i in range(3) for j in range(3) if i != j and three in (i, j)
    }
    assert others(drawn) == []


def test_models_of_different_normalisation_are_not_compared(small, tmp_path):
    np.savez(tmp_path / "centred.npz", weight=weights(12), concepts=[f"c{i:02d}" for i in range(12)],
             labels=[f"species {i:02d}" for i in range(12)])  # fmt: skip
    with classrel_db.open(tmp_path / "both.duckdb") as catalog:
        catalog.ingest(tmp_path / "centred.npz", name="a", normalize="center")
        catalog.ingest(tmp_path / "centred.npz", name="b")
        drawn = figures.agreement(catalog)
        assert hatched(drawn.axes[0]) == {(0, 1), (1, 0)}
        assert len(drawn.figure.axes) == 1  # no colour, no scale


def test_an_agreement_needs_two_models(small):
    with pytest.raises(ArgumentError, match="two"):
        figures.agreement(small, ["twelve"])


def test_an_unknown_measure_is_refused_with_those_there_are(small):
    with pytest.raises(ArgumentError, match=r"nonsense.*rsa-spearman"):
        figures.agreement(small, ["twelve", "five"], measure="nonsense")


def test_the_scale_of_an_agreement_stands_clear_of_its_names(small):
    """On axes that were given, too, among others."""
    figure = Figure(figsize=(8, 8))
    axes = figure.subplots(2, 1)
    figures.agreement(small, ["five", "twelve", "sixty"], ax=axes[0])
    (bar,) = [each for each in figure.axes if each not in axes]
    figure.canvas.draw()
    box = bar.get_tightbbox()
    assert box.y0 > axes[1].get_window_extent().y1  # with its own axes, not at the foot of all
    assert not box.overlaps(axes[0].get_tightbbox())
