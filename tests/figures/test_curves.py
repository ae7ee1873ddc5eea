"""Distributions and curves against counting, shuffling and cutting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.patches import StepPatch
from oracle import REAL, cosine_matrix, standardized
from scipy.cluster import hierarchy

from classrel_db import figures
from classrel_db.errors import ArgumentError, UnknownModelError

from .conftest import ONE, weights
from .seen import seen

pytestmark = pytest.mark.long


def stairs(axis):
    return [each.get_data() for each in axis.patches if isinstance(each, StepPatch)]


def test_the_bars_are_the_counts_of_all_pairs(picture, heads):
    drawn, _ = picture("histogram", "column")
    (axis,) = drawn.axes
    (share, edges, _), (null, null_edges, _) = stairs(axis)
    cosines = heads[ONE].cosine[np.triu_indices(1000, 1)]
    assert (edges == null_edges).all()
    np.testing.assert_allclose(np.diff(edges), 0.01)
    counts = np.histogram(cosines.astype(np.float32), edges)[0]
    # a cosine that lies on an edge but for rounding may count at either side
    assert np.abs(share * 499_500 - counts).max() <= 1
    assert round(float(share.sum() * 499_500)) == 499_500
    # rows with their values in random order: cosines about 0 with sd 1/sqrt(D-1)
    middles = (edges[:-1] + edges[1:]) / 2
    sd = np.sqrt((null * middles**2).sum() - (null * middles).sum() ** 2)
    assert sd == pytest.approx(1 / np.sqrt(heads[ONE].weight.shape[1] - 1), rel=0.02)
    assert null.sum() == pytest.approx(1)
    assert axis.get_yscale() == "log"
    (beyond,) = [float(line.get_xdata()[0]) for line in axis.lines]
    assert beyond == pytest.approx(1.96 * sd, rel=0.03)
    above = np.mean(cosines >= beyond)
    assert drawn.figure.get_suptitle() == f"{ONE}: 499,500 pairs"
    (legend,) = drawn.figure.legends
    *named, said = [text.get_text() for text in legend.texts]
    assert named == ["pairs of classes", "rows shuffled: chance"]
    assert said == f"97.5 % of chance are below {beyond:.3f}, and {1 - above:.1%} of the pairs"


def test_the_null_is_that_of_its_seed(small):
    once, again, other = (figures.histogram(small, "sixty", seed=s) for s in (1, 1, 2))
    assert once.data.fetchall() == again.data.fetchall()
    assert once.data.project("null_share").fetchall() != other.data.project("null_share").fetchall()
    low = stairs(once.axes[0])[0][1]
    (found,) = {tuple(row) for row in once.data.project("n").fetchall()}
    assert found == (1770,)
    assert [row[0] for row in once.data.project("low").fetchall()] == low[:-1].tolist()


def test_a_histogram_without_stored_pairs(large):
    drawn = figures.histogram(large, "large")
    (share, edges, _), _ = stairs(drawn.axes[0])
    cosines = cosine_matrix(standardized(weights(2_100)))[np.triu_indices(2_100, 1)]
    counts = np.histogram(cosines.astype(np.float32), edges)[0]
    assert np.abs(share * len(cosines) - counts).max() <= 2


def test_the_shares_of_few_pairs_are_written_as_shares(small):
    for name in ("two", "three", "five"):
        texts = seen(figures.histogram(small, name).figure)
        assert any(each.text.endswith(" %") for each in texts)
        assert not [each.text for each in texts if "mathdefault" in each.text]


def test_support_is_drawn_at_the_height_of_its_clade(picture, real):
    drawn, _ = picture("support", "page")
    (axis,) = drawn.axes
    dots = axis.collections[0]
    assert isinstance(dots, PathCollection)
    rows = real.tree(ONE, support=True, resamples=10)
    asked = rows.filter("size > 1 AND parent IS NOT NULL").project("height, support, size")
    expected = np.asarray(asked.fetchall(), dtype=float)
    assert len(expected) == 998
    np.testing.assert_allclose(np.asarray(dots.get_offsets()), expected[:, :2])
    np.testing.assert_allclose(dots.get_sizes(), 4 * np.sqrt(expected[:, 2]))
    share = np.mean(expected[:, 1] >= 0.7)
    assert f"{share:.0%} of 998 clades have 70 % support or more" in drawn.figure.get_suptitle()
    assert "10 resamples" in axis.get_ylabel()
    assert axis.get_xlabel() == "height, ward linkage of chord distances"
    legend = [text.get_text() for text in axis.get_legend().texts]
    assert legend == ["2 classes", "10 classes", "100 classes"]


def test_a_tree_of_two_classes_has_no_clade_to_support(small):
    drawn = figures.support(small, "two", resamples=5)
    assert drawn.figure.get_suptitle() == "two: no clade but the whole"
    assert drawn.data.fetchall() == []


def b_k(first, second, k):
    """Fowlkes and Mallows, by counting pairs."""
    one, other = (hierarchy.fcluster(each, k, "maxclust") for each in (first, second))
    together = [a[:, None] == a for a in (one, other)]
    pairs = np.triu_indices(len(one), 1)
    p, q = (each[pairs] for each in together)
    return (p & q).sum() / np.sqrt(p.sum() * q.sum())


def test_the_curve_is_that_of_trees_cut_by_scipy(picture, heads, real):
    drawn, _ = picture("bk", "page")
    (axis,) = drawn.axes
    assert [line.get_label() for line in axis.lines] == [
        f"{REAL[i]}, {REAL[j]}" for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert len({line.get_color() for line in axis.lines}) == 3
    trees = []
    for name in REAL[:2]:
        Z = heads[name].standardized
        trees.append(hierarchy.linkage(Z / np.linalg.norm(Z, axis=1)[:, None], "ward"))
    ks, values = axis.lines[0].get_data()
    assert ks[0] == 2
    assert ks[-1] == 999
    assert len(ks) > 20
    for place in (0, 3, 8, 15, len(ks) - 2):
        k = int(ks[place])
        assert values[place] == pytest.approx(b_k(*trees, k), abs=1e-9)
    asked = real.compare_trees(*REAL, measures="fowlkes-mallows", ks="curve", permutations=9)
    assert drawn.data.fetchall() == asked.fetchall()
    bands = [each for each in axis.collections if isinstance(each, PolyCollection)]
    rows = asked.project("model_a, model_b, k, null_low, null_high").fetchall()
    for band, pair in zip(bands, ((0, 1), (0, 2), (1, 2)), strict=True):
        own = [row[2:] for row in rows if row[:2] == (REAL[pair[0]], REAL[pair[1]])]
        corners = {(float(k), round(y, 9)) for k, low, high in own for y in (low, high)}
        drawn_ones = {(float(x), round(float(y), 9)) for x, y in band.get_paths()[0].vertices}
        assert corners <= drawn_ones
    assert "9 permutations" in drawn.figure.get_suptitle()


def test_without_permutations_no_band(small):
    drawn = figures.bk(small, "twelve", "five", permutations=0)
    assert not drawn.axes[0].collections
    assert "band" not in drawn.figure.get_suptitle()
    assert drawn.axes[0].lines[0].get_xdata().tolist() == [2, 3, 4]


def test_the_letter_of_b_k_is_mathematics(picture):
    _, texts = picture("bk", "page")
    (label,) = [each.artist for each in texts if "B_k" in each.text]
    assert label.get_parse_math()


@pytest.mark.parametrize("draw", [figures.histogram, figures.support])
def test_an_unknown_model_is_refused(small, draw):
    with pytest.raises(UnknownModelError, match="nobody"):
        draw(small, "nobody")


def test_bad_arguments_are_refused(small):
    with pytest.raises(ArgumentError, match="seed"):
        figures.histogram(small, "twelve", seed=-1)
    with pytest.raises(ArgumentError, match="resamples"):
        figures.support(small, "twelve", resamples=0)
    with pytest.raises(ArgumentError, match="permutations"):
        figures.bk(small, "twelve", "five", permutations=-1)
    with pytest.raises(ArgumentError, match="named twice"):
        figures.bk(small, "twelve", "twelve")
