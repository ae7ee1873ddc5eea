"""No text of a figure is cut off by its edge, and none runs into another."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
from oracle import REAL

from classrel_db import figures
from classrel_db.errors import ArgumentError

from .conftest import KINDS, SIZES
from .seen import cut_off, overlapping, seen

pytestmark = pytest.mark.long

# a label each of 1,000 classes: their distance is held against their size instead
WHOLE = {"circle", "dendrogram", "tanglegram"}

SMALL = {
    "neighbors": lambda c, model, other, **w: figures.neighbors(c, "c00", models=model, **w),
    "ranks": lambda c, model, other, **w: figures.ranks(c, "c00", models=[model, other], **w),
    "heatmap": lambda c, model, other, **w: figures.heatmap(c, model, **w),
    "heatmap in class order": lambda c, model, other, **w: figures.heatmap(
        c, model, order="class", **w
    ),
    "circle": lambda c, model, other, **w: figures.dendrogram(c, model, circle=True, **w),
    "dendrogram": lambda c, model, other, **w: figures.dendrogram(
        c, model, support=True, resamples=10, **w
    ),
    "dendrogram, root at the right": lambda c, model, other, **w: figures.dendrogram(
        c, model, orientation="right", **w
    ),
    "dendrogram, root on top": lambda c, model, other, **w: figures.dendrogram(
        c, model, orientation="top", **w
    ),
    "dendrogram, root at the bottom": lambda c, model, other, **w: figures.dendrogram(
        c, model, orientation="bottom", **w
    ),
    "agreement": lambda c, model, other, **w: figures.agreement(c, [model, other], **w),
    "tanglegram": lambda c, model, other, **w: figures.tanglegram(c, model, other, **w),
    "map": lambda c, model, other, **w: figures.class_map(c, model, **w),
    "histogram": lambda c, model, other, **w: figures.histogram(c, model, **w),
    "support": lambda c, model, other, **w: figures.support(c, model, resamples=10, **w),
    "bk": lambda c, model, other, **w: figures.bk(c, model, other, permutations=9, **w),
}
PARTNERS = {"two": "three", "three": "two", "twelve": "five", "sixty": "hundred",
            "hostile": "hostile2"}  # fmt: skip
# two trees, or two models, are compared on four shared classes or more
COMPARED = {"tanglegram", "bk"}


@pytest.mark.parametrize(
    ("name", "width"),
    # a page is the least for a thousand labels
    [
        (name, width)
        for name in KINDS
        for width in ("column", "page")
        if name not in WHOLE or (name, width) == ("circle", "page")
    ],
)
def test_no_text_of_a_real_head_is_cut_off(picture, name, width):
    drawn, texts = picture(name, width)
    assert len(texts) > 5
    assert cut_off(drawn.figure, texts) == {}


@pytest.mark.parametrize("width", ["column", "page"])
@pytest.mark.parametrize("name", [name for name in KINDS if name not in WHOLE])
def test_no_text_of_a_real_head_runs_into_another(picture, name, width):
    assert overlapping(picture(name, width)[1]) == []


def test_a_thousand_labels_stand_apart_around_a_circle(picture, real):
    """Where the place says 0.6 points, the letters may not have 1 point."""
    _, texts = picture("circle", "page")
    known = set(real.labels(REAL[0]))
    labels = [each for each in texts if each.text in known]
    assert len(labels) >= 995
    apart = [np.hypot(*(_start(one) - _start(other))) for one, other in pairwise(labels)]
    assert max(each.size[1] for each in labels) <= np.median(apart) * 1.01


@pytest.mark.parametrize("name", ["dendrogram", "tanglegram"])
def test_a_thousand_labels_have_the_height_of_their_lines(real, name):
    drawn = KINDS[name](real, width="page")
    for axis in (drawn.axes[0], drawn.axes[-1]):
        tall = axis.get_window_extent().height * 72 / drawn.figure.dpi
        sizes = {label.get_fontsize() for label in axis.get_yticklabels()}
        assert len(axis.get_yticklabels()) == 1_000
        assert 0.8 * tall <= 1_000 * 1.17 * max(sizes) <= 1.001 * tall


def _start(each):
    """Where a label begins, at the ring."""
    x, y = each.artist.get_position()
    return each.artist.axes.transData.transform((x, y)) * 72 / each.artist.get_figure().dpi


@pytest.mark.parametrize(
    ("model", "width"),
    [*((model, None) for model in PARTNERS), ("hostile", "column")],
)
@pytest.mark.parametrize("name", SMALL)
def test_a_small_head_is_drawn_whole_and_legibly(small, name, model, width):
    few = SIZES.get(model, 12) < 4
    given = {} if width is None else {"width": width}
    if name in COMPARED and few:
        with pytest.raises(ArgumentError, match="of the 4 classes needed"):
            SMALL[name](small, model, PARTNERS[model], **given)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = SMALL[name](small, model, PARTNERS[model], **given)
        texts = seen(drawn.figure)
    assert cut_off(drawn.figure, texts) == {}
    # the support of forks that lie close together may touch in a tree that labels leave no room
    forks = [{*pair} for pair in overlapping(texts) if not all(map(str.isdigit, pair))]
    assert forks == []
    assert not [each.text for each in texts if "mathdefault" in each.text]


@pytest.mark.parametrize("circle", [False, True])
def test_labels_are_as_large_as_the_room_for_them(small, circle):
    sizes = []
    for model in ("twelve", "hundred"):
        drawn = figures.dendrogram(small, model, circle=circle, clusters=0)
        own = [each for each in seen(drawn.figure) if each.text.startswith("species")]
        sizes.append({each.points for each in own})
        assert len(own) == SIZES[model]
    assert sizes[0] == {6.0}
    assert len(sizes[1]) == 1
    assert 2 <= sizes[1].pop() <= 6


def test_a_legend_lies_within_the_figure(picture):
    for name in ("tanglegram", "tanglegram around a class", "dendrogram of clades, root on top"):
        for width in ("page",) if name in WHOLE else ("page", "column"):
            figure = picture(name, width)[0].figure
            (legend,) = figure.legends
            figure.canvas.draw()
            box = legend.get_window_extent()
            assert box.x0 >= 0, (name, width)
            assert box.x1 <= figure.bbox.x1, (name, width)
