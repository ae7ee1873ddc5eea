"""Bars and ranks of a class's neighbours, against the float64 cosines of the raw heads."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import same_color, to_hex
from oracle import REAL, nearest

from classrel_db import figures
from classrel_db.errors import ArgumentError

from .conftest import CRAB, ONE
from .seen import seen

CRAB_INDEX = 118  # of ImageNet's classes


def bars(axis):
    """The length of each bar, in the order of the labels."""
    found = sorted(axis.patches, key=lambda bar: bar.get_y())
    assert [bar.get_x() for bar in found] == [0] * len(found)
    return np.array([bar.get_width() for bar in found])


def names(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def test_bars_are_as_long_as_the_cosines(picture, heads, real):
    drawn, texts = picture("neighbors", "column")
    (axis,) = drawn.axes
    cosines = heads[ONE].cosine[CRAB_INDEX]
    expected = nearest(cosines, 25, (CRAB_INDEX,))
    np.testing.assert_allclose(bars(axis), cosines[expected], atol=2e-7)
    labels = dict(real.classes(ONE).project("class_idx, class").fetchall())
    assert names(axis) == [labels[i] for i in expected]
    assert (axis.get_yticks() == np.arange(25)).all()
    assert axis.yaxis_inverted()  # the nearest on top
    assert axis.get_title(loc="left") == ONE
    assert axis.get_xlabel() == "cosine"
    written = {each.text for each in texts}
    assert {f"{cosines[i]:.3f}" for i in expected} <= written
    assert "Classes nearest to “Dungeness crab”" in written


def test_a_panel_a_model_on_one_scale(picture, heads):
    drawn, _ = picture("neighbors of three", "page")
    assert len(drawn.axes) == 3
    assert len({axis.get_xlim() for axis in drawn.axes}) == 1
    for name, axis in zip(REAL, drawn.axes, strict=True):
        cosines = heads[name].cosine[CRAB_INDEX]
        np.testing.assert_allclose(
            bars(axis), [1, *cosines[nearest(cosines, 8, (CRAB_INDEX,))]], atol=2e-7
        )
        assert names(axis)[0] == CRAB
        assert axis.get_title(loc="left") == name
        paint = [to_hex(bar.get_facecolor()) for bar in axis.patches]
        assert paint[0] not in paint[1:]
        assert len(set(paint[1:])) == 1


def test_the_data_are_those_of_similar(picture, real):
    drawn, _ = picture("neighbors of three", "page")
    asked = real.similar(CRAB, k=8, include_self=True)
    assert drawn.data.columns == asked.columns
    assert drawn.data.fetchall() == asked.fetchall()


def test_support_colours_the_bars(small):
    drawn = figures.neighbors(
        small, "c00", models="hundred", k=9, support=True, resamples=30, seed=3
    )
    rows = small.similar("c00", models="hundred", k=9, support=True, resamples=30, seed=3)
    shares = [row[0] for row in rows.project("support").fetchall()]
    assert len(set(shares)) > 3
    shades = mpl.colormaps["cividis_r"]
    for bar, share in zip(drawn.axes[0].patches, shares, strict=True):
        assert same_color(bar.get_facecolor(), shades(share))
    (scale,) = [each for each in drawn.figure.axes if each not in drawn.axes]
    assert "30 resamples" in scale.get_xlabel()
    assert "seed 3" in scale.get_xlabel()


def test_the_class_itself_has_no_support_and_no_colour(small):
    drawn = figures.neighbors(
        small, "c00", models="twelve", include_self=True, support=True, resamples=10
    )
    assert same_color(drawn.axes[0].patches[0].get_facecolor(), "white")


def test_negative_cosines_reach_to_the_left(small):
    drawn = figures.neighbors(small, "c00", models="twelve")
    cosines = np.array([row[0] for row in drawn.data.project("cosine").fetchall()])
    assert cosines.min() < 0 < cosines.max()
    np.testing.assert_allclose(bars(drawn.axes[0]), cosines)
    for each in seen(drawn.figure):
        if each.text in {f"{c:.3f}" for c in cosines}:
            x = drawn.axes[0].transData.transform((float(each.text), 0))[0] * 72
            beyond = each.centre[0] - x / drawn.figure.dpi
            assert np.sign(beyond) == np.sign(float(each.text)) or float(each.text) == 0


@pytest.mark.parametrize("models", ["hundred", ["hundred", "twelve"]])
def test_more_than_a_hundred_bars_are_refused(small, models):
    assert figures.neighbors(small, "c00", models="hundred", k=99).data.shape[0] == 99
    with pytest.raises(ArgumentError, match=r"k is 100|whole number"):
        figures.neighbors(small, "c00", models=models, k=100)


def test_more_bars_than_a_figure_has_room_for_are_refused(real):
    with pytest.raises(ArgumentError, match="101 bars are not for a figure; give k, at most 100"):
        figures.neighbors(real, CRAB, models=ONE, k=101)


def test_one_axes_a_model(small):
    figure = mpl.figure.Figure()
    with pytest.raises(ArgumentError, match="2 axes for 1 models"):
        figures.neighbors(small, "c00", models="twelve", ax=figure.subplots(1, 2))


def dots(axis):
    """The (rank, line) of the dots of each model."""
    return {
        each.get_label(): np.asarray(each.get_offsets())
        for each in axis.collections
        if not each.get_label().startswith("_")
    }


def test_ranks_are_those_of_the_sorted_cosines(picture, heads, real):
    drawn, _ = picture("ranks", "column")
    (axis,) = drawn.axes
    places = np.empty((3, 1000))
    for i, name in enumerate(REAL):
        order = nearest(heads[name].cosine[CRAB_INDEX].astype(np.float32), 999, (CRAB_INDEX,))
        places[i, order] = np.arange(1, 1000)
    places[:, CRAB_INDEX] = np.inf
    concepts = dict(real.classes(ONE).project("class_idx, concept").fetchall())
    best = sorted(range(1000), key=lambda i: (places[:, i].mean(), concepts[i]))[:25]
    labels = dict(real.classes(ONE).project("class_idx, class").fetchall())
    assert names(axis) == [labels[i] for i in best]
    found = dots(axis)
    assert list(found) == list(REAL)
    for i, name in enumerate(REAL):
        assert found[name][:, 0].tolist() == places[i, best].tolist()
        # a little above or below its line, and nearer to it than to the next
        off = found[name][:, 1] - np.arange(25)
        assert np.ptp(off) < 1e-9
        assert abs(off[0]) < 0.3
    medians = [
        line.get_xdata()[0]
        for line in axis.lines
        if line.get_xdata()[0] == line.get_xdata()[1] and line.get_linewidth() == 1.0
    ]
    assert medians == np.median(places[:, best], axis=0).tolist()
    assert axis.get_xscale() == "log"
    (legend,) = drawn.figure.legends
    assert [text.get_text() for text in legend.texts] == list(REAL)
    paint = [tuple(each.get_facecolor()[0]) for each in axis.collections[:3]]
    assert len(set(paint)) == 3


def test_the_data_of_ranks_are_the_ranks_drawn(picture):
    drawn, _ = picture("ranks", "column")
    rows = drawn.data.project("model, rank, neighbor, mean_rank").fetchall()
    assert len(rows) == 75
    found = dots(drawn.axes[0])
    for name in REAL:
        own = [row for row in rows if row[0] == name]
        assert [row[1] for row in own] == found[name][:, 0].tolist()
        assert [row[2] for row in own] == names(drawn.axes[0])
        means = [row[3] for row in own]
        assert means == sorted(means)


def test_a_class_that_not_all_models_have_is_ranked_where_it_is(small):
    drawn = figures.ranks(small, "c00", models=["five", "twelve"], k=11)
    found = dots(drawn.axes[0])
    assert {name: len(places) for name, places in found.items()} == {"five": 4, "twelve": 11}


@pytest.mark.parametrize("k", [0, 101, -1, 2.5, "7"])
def test_ranks_of_too_many_are_refused(small, k):
    with pytest.raises(ArgumentError, match=r"k is .*1 to 100"):
        figures.ranks(small, "c00", models="twelve", k=k)
