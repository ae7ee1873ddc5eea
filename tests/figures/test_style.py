"""How figures are written: whole, the same each time, with their fonts, and with text that stays text."""

from __future__ import annotations

import base64
import io
import re
import warnings
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib.figure import Figure
from PIL import Image

import classrel_db
from classrel_db import figures
from classrel_db.errors import ArgumentError, ClassrelWarning
from classrel_db.figures import lettering, style

from .conftest import HOSTILE, KINDS
from .seen import seen
from .test_room import WHOLE

SVG = "{http://www.w3.org/2000/svg}"


def saved(drawn, path, **given):
    drawn.save(path, **given)
    return path.read_bytes()


def texts_of(svg):
    return ["".join(each.itertext()) for each in ET.fromstring(svg).iter(f"{SVG}text")]


def embedded(svg):
    """The characters of the font that an SVG brings with it, and the family it goes by."""
    (face,) = re.findall(rb"@font-face\{([^}]*)\}", svg)
    coded = re.search(rb"base64,([A-Za-z0-9+/=]+)\) format\('woff'\)", face).group(1)
    font = TTFont(io.BytesIO(base64.b64decode(coded)))
    return {chr(code) for code in font.getBestCmap()}, re.search(
        rb"font-family:'([^']+)'", face
    ).group(1)


def test_text_stays_text_in_svg(picture, tmp_path):
    drawn, texts = picture("circle", "page")
    svg = saved(drawn, tmp_path / "tree.svg")
    written = texts_of(svg)
    for each in texts:
        assert each.text in written
    assert len(written) >= 1_025


def test_the_font_in_an_svg_has_exactly_the_letters_used(picture, tmp_path):
    svg = saved(picture("neighbors", "column")[0], tmp_path / "bars.svg")
    has, family = embedded(svg)
    used = {c for text in texts_of(svg) for c in text if not c.isspace() or c == " "}
    assert has == used
    assert family == b"DejaVu Sans"
    assert b"DejaVu Sans" in svg.split(b"</style>", 1)[1]  # and the texts ask for it


def test_hostile_labels_are_text(small, tmp_path):
    for kind in (
        lambda: figures.neighbors(small, "c00", models="hostile", include_self=True),
        lambda: figures.dendrogram(small, "hostile", circle=True),
        lambda: figures.heatmap(small, "hostile"),
        lambda: figures.tanglegram(small, "hostile", "hostile2"),
    ):
        drawn = kind()
        svg = saved(drawn, tmp_path / "hostile.svg")
        tree = ET.fromstring(svg)
        assert {each.tag.rsplit("}", 1)[1] for each in tree.iter()}.isdisjoint({"script", "b"})
        assert not any(name.startswith("on") for each in tree.iter() for name in each.attrib)
        written = texts_of(svg)
        for label in HOSTILE:
            if len(label) <= 26:
                # where there is no room for all of it, its beginning
                start = label[:8].strip()
                assert any(text.startswith(start) for text in written), label
        assert max(map(len, written)) < 120
        for image in ("png", "pdf"):
            assert saved(drawn, tmp_path / f"hostile.{image}")


@pytest.mark.parametrize("name", [name for name in KINDS if name not in WHOLE])
def test_every_text_of_every_kind_stays_text(picture, tmp_path, name):
    drawn, texts = picture(name, "page")
    written = texts_of(saved(drawn, tmp_path / "x.svg"))
    lost = {line for each in texts for line in each.text.split("\n")} - set(written)
    # how many ticks there are depends on who draws
    assert {text for text in lost if re.search(r"[^\W\d]", text) and "$" not in text} == set()


def test_control_characters_are_written_out():
    assert lettering.shortened("\x1b[2J\x07 bell\nline") == "\\x1b[2J\\x07 bell\\nline"
    assert lettering.shortened("x" * 60) == "x" * 60
    assert lettering.shortened("x" * 61) == "x" * 59 + "…"


def test_a_pdf_has_its_fonts_as_fonts(picture, tmp_path):
    pdf = saved(picture("neighbors", "column")[0], tmp_path / "bars.pdf")
    assert pdf.startswith(b"%PDF-")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


@pytest.mark.parametrize(
    ("width", "mm"), [("column", 89), ("page", 183), (120, 120), ("60.5", 60.5)]
)
def test_a_png_has_the_size_that_width_and_dpi_say(small, tmp_path, width, mm):
    drawn = figures.histogram(small, "twelve", width=width)
    for dpi in (100, 300):
        image = Image.open(io.BytesIO(saved(drawn, tmp_path / "x.png", dpi=dpi)))
        assert image.size[0] == pytest.approx(mm / 25.4 * dpi, abs=1)
        assert image.info["dpi"] == pytest.approx((dpi, dpi), abs=0.1)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_figure_is_the_same_file(small, tmp_path, ending):
    made = [
        saved(figures.dendrogram(small, "twelve", circle=True), tmp_path / f"{i}.{ending}")
        for i in range(2)
    ]
    assert made[0] == made[1]
    again = figures.dendrogram(small, "twelve", circle=True)
    assert saved(again, tmp_path / f"a.{ending}") == saved(again, tmp_path / f"b.{ending}")


@pytest.mark.parametrize("ending", ["svg"])
def test_a_figure_is_the_same_whatever_matplotlib_is_set_to(small, tmp_path, ending):
    """Also where it is drawn by matplotlib itself, as in a notebook."""
    figure = figures.histogram(small, "twelve")
    plain = saved(figure, tmp_path / f"plain.{ending}")
    odd = {"font.size": 30, "xtick.labelsize": 30, "axes.grid": True, "text.usetex": False,
           "axes.facecolor": "red", "lines.linewidth": 9, "savefig.bbox": "tight",
           "figure.facecolor": "blue", "savefig.facecolor": "blue", "savefig.transparent": True}  # fmt: skip
    with mpl.rc_context(odd):
        same = saved(figures.histogram(small, "twelve"), tmp_path / f"odd.{ending}")
    assert same == plain


def test_nothing_of_matplotlib_is_changed(small):
    before = dict(mpl.rcParams)
    for kind in (figures.histogram, figures.heatmap, figures.dendrogram, figures.class_map):
        kind(small, "twelve")._repr_png_()
    assert dict(mpl.rcParams) == before


def test_a_failed_figure_changes_nothing_of_matplotlib(small):
    before = dict(mpl.rcParams)
    with pytest.raises(ArgumentError):
        figures.neighbors(small, "c00", models="twelve", ax=Figure().subplots(1, 2))
    assert dict(mpl.rcParams) == before


def test_drawn_gives_its_figure_and_axes(picture):
    drawn, _ = picture("heatmap", "page")
    figure, axes = drawn
    assert figure is drawn.figure
    assert axes is drawn.axes
    assert all(axis.figure is figure for axis in axes)
    assert drawn.data is drawn.data
    assert Image.open(io.BytesIO(drawn._repr_png_())).format == "PNG"


GIVEN = {
    "neighbors": lambda c, ax: figures.neighbors(c, "c00", models="twelve", ax=ax),
    "ranks": lambda c, ax: figures.ranks(c, "c00", models="twelve", ax=ax),
    "dendrogram": lambda c, ax: figures.dendrogram(c, "twelve", ax=ax),
    "circle": lambda c, ax: figures.dendrogram(c, "twelve", circle=True, ax=ax),
    "agreement": lambda c, ax: figures.agreement(c, ["twelve", "five"], ax=ax),
    "map": lambda c, ax: figures.class_map(c, "twelve", ax=ax),
    "histogram": lambda c, ax: figures.histogram(c, "twelve", ax=ax),
    "support": lambda c, ax: figures.support(c, "twelve", resamples=5, ax=ax),
    "bk": lambda c, ax: figures.bk(c, "twelve", "five", permutations=5, ax=ax),
}


@pytest.mark.parametrize("name", GIVEN)
def test_each_is_drawn_on_axes_of_yours(small, name):
    figure = Figure(figsize=(9, 4))
    mine, other = figure.subplots(1, 2)
    drawn = GIVEN[name](small, mine)
    assert drawn.figure is figure
    assert drawn.axes == (mine,)
    assert mine.has_data()
    assert not other.has_data()
    assert figure.get_suptitle() == ""


@pytest.mark.parametrize("name", GIVEN)
def test_each_is_drawn_on_axes_of_a_part_of_a_figure(small, name):
    figure = Figure(figsize=(9, 4))
    mine = figure.subfigures(1, 2)[0].subplots()
    if name == "map":
        with pytest.raises(ArgumentError, match="part of a figure"):
            GIVEN[name](small, mine)
        return
    drawn = GIVEN[name](small, mine)
    assert drawn.figure is figure
    assert seen(figure)


def test_axes_of_no_figure_are_refused(small):
    axis = Figure().subplots()
    axis.remove()
    with pytest.raises(ArgumentError, match="in no figure"):
        figures.histogram(small, "twelve", ax=axis)


@pytest.mark.parametrize(
    ("name", "message"),
    [("x.gif", 'ending is ".gif"; use .png, .svg or .pdf'), ("x", 'ending is ""'),
     ("x.svg.gz", "gz"), ("no/x.png", "can't write"), ("folder.png", "it is a folder"),
     ("file/x.png", "can't write")],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_and_leaves_nothing(small, tmp_path, name, message):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArgumentError, match=re.escape(message)):
        figures.histogram(small, "twelve").save(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("dpi", [0, 9, 2401, -5])
def test_a_resolution_out_of_range_is_refused(small, tmp_path, dpi):
    with pytest.raises(ArgumentError, match=rf"dpi is {dpi}; it is 10 to 2400"):
        figures.histogram(small, "twelve").save(tmp_path / "x.png", dpi=dpi)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_more_pixels_than_memory_is_refused(small, tmp_path):
    """5 m at 2,400 dots an inch are 3,000 million pixels: said, not tried."""
    drawn = figures.histogram(small, "twelve", width=5_000)
    drawn.figure.savefig = lambda *_, **__: pytest.fail("it is drawn")
    with pytest.raises(ArgumentError, match="pixel"):
        drawn.save(tmp_path / "x.png", dpi=2_400)


@pytest.mark.parametrize(
    "width", ["wide", "", "0", 19, 5001, -89, "nan", "inf", "89mm", float("nan")]
)
def test_a_width_that_is_none_is_refused(small, width):
    with pytest.raises(ArgumentError, match=r"width is .*column \(89 mm\), page \(183 mm\)"):
        figures.histogram(small, "twelve", width=width)


def test_an_ending_in_capitals_is_an_ending(small, tmp_path):
    assert saved(figures.histogram(small, "twelve"), tmp_path / "X.PNG").startswith(b"\x89PNG")


def test_a_file_is_replaced_whole(small, tmp_path):
    path = tmp_path / "x.svg"
    path.write_text("before")
    saved(figures.histogram(small, "twelve"), path)
    assert path.read_text().startswith("<?xml")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("n", range(41))
def test_neighbouring_colours_differ_also_the_last_from_the_first(n):
    found = style.colours(n)
    assert len(found) == n
    if n > 1:
        pairs = zip(found, [*found[1:], found[0]], strict=True)
        assert all(a != b for a, b in pairs)


def test_labels_are_spread_as_near_to_their_places_as_can_be():
    random = np.random.default_rng(0)
    for n in (1, 2, 5, 30):
        places = np.sort(random.uniform(0, 10, n))
        least = 10 / max(n, 2) * 0.9
        found = np.asarray(lettering.spread(places, least, 0, 10))
        assert (np.diff(found) >= least - 1e-9).all()
        assert found.min() >= -1e-9
        assert found.max() <= 10 + 1e-9
    assert lettering.spread([], 1, 0, 10) == []
    assert lettering.spread([1, 5, 9], 1, 0, 10) == [1, 5, 9]
    assert lettering.spread([5, 5], 1, 0, 10) == pytest.approx([4.5, 5.5])
    assert lettering.spread([0, 0], 1, 0, 10) == pytest.approx([0, 1])
    # more than there is room for: apart all the same
    assert np.diff(lettering.spread([1, 1, 1], 5, 0, 3)) == pytest.approx([5, 5])


def test_letters_can_be_read_on_any_colour():
    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    for level in np.linspace(0, 1, 101):
        shade = mpl.colormaps["viridis"](level)[:3]
        letters = mpl.colors.to_rgb(style.letters_on(*shade))
        lighter, darker = sorted((luminance(shade), luminance(letters)), reverse=True)
        # the contrast that WCAG asks of large letters
        assert (lighter + 0.05) / (darker + 0.05) >= 3


def test_a_script_without_a_font_is_told_of_each_time(tmp_path):
    """A font that has a box for every character is no font for it."""
    labels = ["𒀀𒁀 an", "plain", "other", "more"]
    np.savez(
        tmp_path / "an.npz", weight=np.random.default_rng(1).normal(size=(4, 5)), labels=labels
    )
    with classrel_db.open(tmp_path / "an.duckdb") as catalog:
        catalog.ingest(tmp_path / "an.npz")
        for _ in range(2):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                drawn = figures.neighbors(catalog, "plain")
                drawn.save(tmp_path / "an.svg")
                drawn.save(tmp_path / "an.png")
            assert [each.category for each in caught] == [ClassrelWarning]
            assert "U+12000" in str(caught[0].message)
        assert "𒀀𒁀 an" in texts_of((tmp_path / "an.svg").read_bytes())


def test_every_kind_is_one_of_the_public_functions():
    functions = {name for name in figures.__all__ if name.islower()}
    code = {name for kind in KINDS.values() for name in kind.__code__.co_names}
    assert functions <= code
