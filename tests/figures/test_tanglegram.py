"""Two trees face to face: lines join the same class, and the title says how tangled they are."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from oracle import standardized
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from classrel_db import figures
from classrel_db.errors import ArgumentError, UnknownClassError, UnknownModelError

from .conftest import CRAB, ONE, THREE, weights
from .seen import seen
from .test_dendrogram import upright


@pytest.fixture(scope="module")
def tangled(small):
    return figures.tanglegram(small, "sixty", "hundred", clusters=7)


def numbers(axis):
    return [int(label.get_text().split()[1]) for label in axis.get_yticklabels()]


def entangled(first, second):
    """Galili's measure, by its definition: of the places of each leaf, over that of opposite orders."""
    n = len(first)
    off = sum(abs(i - second.index(leaf)) ** 1.5 for i, leaf in enumerate(first))
    return off / sum(abs(i - (n - 1 - i)) ** 1.5 for i in range(n))


def test_lines_join_a_class_with_itself(tangled):
    left, middle, right = tangled.axes
    one, other = numbers(left), numbers(right)
    assert sorted(one) == sorted(other) == list(range(60))
    (lines,) = middle.collections
    joined = [np.asarray(each) for each in lines.get_segments()]
    assert len(joined) == 60
    for (x0, y0), (x1, y1) in joined:
        assert (x0, x1) == (0, 1)
        assert one[round(y0)] == other[round(y1)]
    assert {round(each[0][1]) for each in joined} == set(range(60))
    # each line leaves the label that it belongs to
    assert left.get_ylim() == middle.get_ylim() == right.get_ylim() == (59.5, -0.5)


def test_both_trees_are_those_of_scipy_less_the_classes_of_one(tangled):
    for axis, side, n in ((tangled.axes[0], "left", 60), (tangled.axes[2], "right", 100)):
        Z = standardized(weights(n))
        unit = Z / np.linalg.norm(Z, axis=1)[:, None]
        order = numbers(axis)
        whole = squareform(hierarchy.cophenet(hierarchy.linkage(unit, "ward")))
        drawn = upright(axis, side, 60)
        # how high two classes meet is the same in a tree without some others
        np.testing.assert_allclose(drawn, whole[np.ix_(order, order)], atol=1e-5)


def test_the_title_says_the_entanglement_of_the_orders_drawn(tangled):
    found = entangled(numbers(tangled.axes[0]), numbers(tangled.axes[2]))
    assert f"entanglement {found:.3f}" in tangled.figure.get_suptitle()
    assert tangled.figure.get_suptitle().startswith("60 classes of both")


def test_untangling_has_turned_branches_to_some_end(tangled, small):
    before = [
        [i for i in small.leaf_order(name).tolist() if i < 60] for name in ("sixty", "hundred")
    ]
    after = entangled(numbers(tangled.axes[0]), numbers(tangled.axes[2]))
    assert after < entangled(*before)


def test_the_colours_are_the_clusters_of_the_first_tree(tangled, small):
    (lines,) = tangled.axes[1].collections
    order = numbers(tangled.axes[0])
    Z = standardized(weights(60))
    unit = Z / np.linalg.norm(Z, axis=1)[:, None]
    cut = hierarchy.fcluster(hierarchy.linkage(unit, "ward"), 7, "maxclust")
    shades = {}
    for segment, colour in zip(lines.get_segments(), lines.get_colors(), strict=True):
        shades.setdefault(cut[order[round(segment[0][1])]], set()).add(to_hex(colour))
    assert [len(each) for each in shades.values()] == [1] * 7
    assert len(set.union(*shades.values())) == 7
    (legend,) = tangled.figure.legends
    assert len(legend.get_texts()) == 7
    sizes = sorted(
        int(text.get_text().rsplit("(", 1)[1].rstrip(")")) if "(" in text.get_text() else 1
        for text in legend.get_texts()
    )
    assert sizes == sorted(np.bincount(cut)[1:].tolist())


def test_the_data_are_the_nodes_of_both_trees(tangled, small):
    asked = small.tanglegram("sixty", "hundred")
    assert tangled.data.columns == asked.columns
    assert tangled.data.fetchall() == asked.fetchall()
    rows = tangled.data.filter("size = 1").project("model, node, place, name").fetchall()
    for axis, model in ((tangled.axes[0], "sixty"), (tangled.axes[2], "hundred")):
        own = sorted((place, name) for m, _, place, name in rows if m == model)
        assert [name for _, name in own] == [t.get_text() for t in axis.get_yticklabels()]
    same = {}
    for _, node, _, name in rows:
        same.setdefault(node, set()).add(name)
    assert all(len(names) == 1 for names in same.values())


def test_models_marks_the_clades_that_both_have(tangled):
    rows = tangled.data.project("model, place, size, models").filter("size > 1").fetchall()
    names = {"sixty": numbers(tangled.axes[0]), "hundred": numbers(tangled.axes[2])}
    clades = {
        model: {frozenset(names[model][p : p + s]) for m, p, s, _ in rows if m == model}
        for model in names
    }
    both = clades["sixty"] & clades["hundred"]
    assert 1 < len(both) < 59
    for model, place, size, models in rows:
        if models is not None:
            clade = frozenset(names[model][place : place + size])
            assert (models == 1) == (clade in both)


def test_around_a_class_of_real_heads(picture, real):
    drawn, texts = picture("tanglegram around a class", "page")
    left, _, right = drawn.axes
    own = [label.get_text() for label in left.get_yticklabels()]
    assert CRAB in own
    assert sorted(own) == sorted(label.get_text() for label in right.get_yticklabels())
    clade = real.tree(ONE, around=CRAB, k=25).filter("size = 1").project("name").fetchall()
    assert sorted(own) == sorted(name for (name,) in clade)
    assert {ONE, THREE} <= {each.text for each in texts}


def test_a_thousand_lines(picture):
    drawn, _ = picture("tanglegram", "page")
    (lines,) = drawn.axes[1].collections
    assert len(lines.get_segments()) == 1000


def test_on_given_axes(small):
    figure = Figure()
    axes = figure.subplots(1, 3)
    drawn = figures.tanglegram(small, "twelve", "five", axes=axes)
    assert drawn.figure is figure
    assert drawn.axes == tuple(axes)
    assert figure.legends == []
    with pytest.raises(ArgumentError, match="2 axes; a tanglegram is drawn on three"):
        figures.tanglegram(small, "twelve", "five", axes=axes[:2])


@pytest.mark.parametrize(
    ("models", "given", "error", "message"),
    [
        (("twelve", "nobody"), {}, UnknownModelError, "nobody"),
        (("twelve", "twelve"), {}, ArgumentError, "named twice"),
        (("twelve", "three"), {}, ArgumentError, "share only 3 of the 4"),
        (("twelve", "five"), {"clusters": 6}, ArgumentError, "6.*0 to 5"),
        (("twelve", "five"), {"clusters": -1}, ArgumentError, "-1"),
        (("twelve", "five"), {"around": "c09"}, ArgumentError, 'five has no class "species 09"'),
        (("twelve", "five"), {"around": "nothing"}, UnknownClassError, "nothing"),
        (("twelve", "five"), {"around": "c00", "k": 1}, ArgumentError, "k"),
        (("twelve", "five"), {"taxonomy": "nothing"}, ArgumentError, "nothing"),
    ],
)
def test_bad_arguments_are_refused(small, models, given, error, message):
    with pytest.raises(error, match=message):
        figures.tanglegram(small, *models, **given)


def test_more_classes_than_lines_have_room_for_are_refused(large, tmp_path):
    np.savez(tmp_path / "again.npz", weight=weights(2_100)[:, ::-1])
    (tmp_path / "again.txt").write_text("\n".join(f"species {i}" for i in range(2_100)))
    large.ingest(tmp_path / "again.npz", labels=tmp_path / "again.txt", pairs="none")
    with pytest.raises(ArgumentError, match=r"2,100 classes.*2,000 lines; give around"):
        figures.tanglegram(large, "large", "again")


def test_no_clusters_no_colours(small):
    drawn = figures.tanglegram(small, "twelve", "five", clusters=0)
    assert drawn.figure.legends == []
    assert len({to_hex(c) for c in drawn.axes[1].collections[0].get_colors()}) == 1
    assert len(seen(drawn.figure)) == 13  # five labels at each side, two names, a title
