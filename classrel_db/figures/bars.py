"""One class and its neighbours: bars of one or several models, and their ranks over many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.errors import ArgumentError
from classrel_db.figures.lettering import SMALL, TINY, fitted, shortened, widest
from classrel_db.figures.style import (
    GREY,
    INK,
    Drawn,
    Legend,
    Sheet,
    colours,
    drawing,
    figure_of,
    inches,
)
from classrel_db.records import RESAMPLES
from classrel_db.storage import arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from classrel_db.catalog import Catalog
    from classrel_db.records import Progress

_BAR = 0.135  # inches a bar
_MOST_BARS = 100  # in one panel
_FEW_MODELS = 8  # that have a colour each
_NARROWEST = 2.2  # inches of a panel
_ROOM = 1.5  # inches that labels may take beside axes that are given
_RANKS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)  # at ticks


def neighbors(
    catalog: Catalog,
    query: str | int,
    *,
    models: str | Sequence[str] | None = None,
    k: int | None = None,
    include_self: bool = False,
    support: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
    width: str | float | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    progress: Progress | None = None,
) -> Drawn:
    """The ``k`` classes nearest to a class as bars of their cosines, a panel a model.

    The arguments are those of :meth:`~classrel_db.catalog.Catalog.similar`, which gives the data;
    ``support`` colours the bars by the share of bootstrap resamples in which the neighbour stays.
    ``width`` is column, page or millimetres: a column for one model, else a page. ``ax`` are axes to draw
    on, one a model. Raises ArgumentError for more than 100 bars a panel, and what ``similar`` raises.
    """
    # held in memory: a relation of the file's ends with the next write
    data = arrays.kept(
        catalog.similar(
            query,
            models=models,
            k=k,
            include_self=include_self,
            support=support,
            resamples=resamples,
            seed=seed,
            progress=progress,
        )
    )
    rows = _dicts(data)
    panels: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        panels.setdefault(row["model"], []).append(row)
    most = max(map(len, panels.values()))
    if most > _MOST_BARS:
        raise ArgumentError(f"{most:,} bars are not for a figure; give k, at most {_MOST_BARS}")
    title = f"Classes nearest to “{shortened(rows[0]['class'], 40)}”"
    with drawing([row["neighbor"] for row in rows], panels, [title]):
        if ax is None:
            axes, room = _panels(panels, most, width, support, title)
        else:
            axes, room = list(np.ravel(np.asarray(ax, dtype=object))), _ROOM
            if len(axes) != len(panels):
                raise ArgumentError(f"{len(axes)} axes for {len(panels)} models; give one a model")
        low = min(0.0, min(row["cosine"] for row in rows))
        high = max(0.0, max(row["cosine"] for row in rows))
        for axis, (model, own) in zip(axes, panels.items(), strict=True):
            _bars(axis, model, own, support, (low, high), room)
        if support:
            _support_scale(axes, resamples, seed, own=ax is None)
    return Drawn(figure_of(axes[0]), tuple(axes), lambda: data)


def _panels(
    panels: dict[str, list[dict[str, Any]]],
    most: int,
    width: str | float | None,
    scale: bool,
    title: str,
) -> tuple[list[Axes], float]:
    """Empty axes beside one another, and the room in inches for the labels at the left of each."""
    n = len(panels)
    across = inches(width or ("column" if n == 1 else "page"))
    columns = min(n, max(1, int(across / _NARROWEST)))
    lines = -(-n // columns)
    each = across / columns
    labels = [shortened(row["neighbor"]) for own in panels.values() for row in own]
    room = min(widest(labels) + 0.1, 0.5 * each)
    panel = most * _BAR + 0.1
    above, below, foot = 0.28, 0.4, 0.5 if scale else 0.0
    height = lines * (above + panel + below) + foot
    sheet = Sheet(across * 25.4, height, title)
    axes = []
    for i in range(n):
        line, column = divmod(i, columns)
        bottom = foot + (lines - line - 1) * (above + panel + below) + below
        axes.append(sheet.axes(column * each + room, bottom, each - room - 0.12, panel))
    return axes, room - 0.08


def _bars(
    axis: Axes,
    model: str,
    rows: list[dict[str, Any]],
    support: bool,
    limits: tuple[float, float],
    room: float,
) -> None:
    import matplotlib as mpl

    places = np.arange(len(rows))
    cosines = np.asarray([row["cosine"] for row in rows])
    if support:
        shades = mpl.colormaps["cividis_r"]
        known = [row["support"] for row in rows]
        paint = ["white" if share is None else shades(share) for share in known]
    else:
        paint = [INK if row["rank"] == 0 else colours(1)[0] for row in rows]
    axis.barh(places, cosines, height=0.78, color=paint, edgecolor=INK, linewidth=0.3)
    axis.set_yticks(places, [fitted(row["neighbor"], room) for row in rows])
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    wide = figure_of(axis).get_size_inches()[0] * axis.get_position().width
    # beyond the bars, as much as their numbers take
    number = min(0.4, (widest(["0.000"], TINY - 0.5) + 0.06) / max(wide, 0.5))
    sides = 2 if limits[0] < 0 and limits[1] > 0 else 1
    span = (limits[1] - limits[0] or 1.0) / (1 - sides * number)
    axis.set_xlim(
        limits[0] - (number * span if limits[0] < 0 else 0),
        limits[1] + (number * span if limits[1] > 0 or limits[0] == 0 else 0),
    )
    axis.locator_params(axis="x", nbins=max(2, min(6, int(wide / 0.45))))
    axis.set_xlabel("cosine")
    axis.set_title(fitted(model, max(wide, 0.5), SMALL + 1))
    if limits[0] < 0:
        axis.axvline(0, color=INK, linewidth=0.6)
    for place, cosine in zip(places, cosines, strict=True):
        axis.annotate(
            f"{cosine:.3f}",
            (cosine, place),
            xytext=(2 if cosine >= 0 else -2, 0),
            textcoords="offset points",
            ha="left" if cosine >= 0 else "right",
            va="center",
            size=TINY - 0.5,
        )


def _support_scale(axes: Sequence[Axes], resamples: int, seed: int, *, own: bool) -> None:
    """What the colours mean, below the axes."""
    import matplotlib as mpl

    figure = figure_of(axes[0])
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), "cividis_r")
    if own:
        across, tall = figure.get_size_inches()
        place = figure.add_axes((0.2 / across, 0.36 / tall, 1 - 0.4 / across, 0.08 / tall))
        figure.colorbar(scale, cax=place, orientation="horizontal")
    else:
        bar = figure.colorbar(
            scale, ax=list(axes), orientation="horizontal", fraction=0.03, pad=0.12
        )
        place = bar.ax
    place.set_xlabel(f"support, of {resamples:,} resamples (seed {seed})", size=TINY)


def ranks(
    catalog: Catalog,
    query: str | int,
    *,
    models: str | Sequence[str] | None = None,
    k: int = 25,
    width: str | float = "column",
    ax: Axes | None = None,
) -> Drawn:
    """The ranks of a class's neighbours in each of many models: are they the same everywhere?

    The ``k`` classes nearest by the mean rank over the models, each with its rank in every model that
    has it and their median. Data: model, class, rank, neighbor, neighbor_concept, cosine,
    euclidean and mean_rank. Raises ArgumentError, and what ``similar`` raises.
    """
    if not (isinstance(k, int) and 1 <= k <= _MOST_BARS):
        raise ArgumentError(f"k is {k!r}; a figure has room for 1 to {_MOST_BARS} neighbours")
    data = catalog.neighbor_ranks(query, models=models, k=k)
    rows = _dicts(data)
    names = list(dict.fromkeys(row["model"] for row in rows))
    concepts = list(dict.fromkeys(row["neighbor_concept"] for row in rows))
    labels = {row["neighbor_concept"]: row["neighbor"] for row in rows}
    title = f"Neighbours of “{shortened(rows[0]['class'], 40)}” in {len(names):,} models"
    few = len(names) <= _FEW_MODELS
    with drawing(labels.values(), names, [title]):
        paint = colours(len(names)) if few else [GREY] * len(names)
        room = _ROOM
        own = ax is None
        if ax is None:
            across = inches(width)
            room = min(widest([shortened(label) for label in labels.values()]), 0.5 * across)
            panel = len(concepts) * _BAR + 0.1
            legend = Legend(names if few else [], paint, across, round=True)
            below = 0.4 + legend.height
            sheet = Sheet(width, below + panel + 0.08, title)
            ax = sheet.axes(room + 0.1, below, across - room - 0.25, panel)
            legend.draw(sheet.figure)
        spread_out = 1 < len(names) <= _FEW_MODELS
        shift = np.linspace(-0.22, 0.22, len(names)) if spread_out else np.zeros(len(names))
        for name, colour, up in zip(names, paint, shift, strict=True):
            at = [
                (row["rank"], concepts.index(row["neighbor_concept"]))
                for row in rows
                if row["model"] == name
            ]
            x, y = np.asarray(at, dtype=float).T
            ax.scatter(x, y + up, s=9, color=colour, linewidths=0, label=name, zorder=3)
        for place, concept in enumerate(concepts):
            found = [row["rank"] for row in rows if row["neighbor_concept"] == concept]
            ax.plot([min(found), max(found)], [place, place], color="#d9d9d9", zorder=1)
            median = float(np.median(found))
            ax.plot([median] * 2, [place - 0.4, place + 0.4], color=INK, linewidth=1.0, zorder=2)
        ax.set_xscale("log")
        highest = max(row["rank"] for row in rows)
        ax.set_xlim(0.9, highest * 1.15)
        ticks = [t for t in _RANKS if t <= highest * 1.1]
        ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
        ax.set_xticks([], minor=True)
        shown = [fitted(labels[concept], room) for concept in concepts]
        ax.set_yticks(range(len(concepts)), shown)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(concepts) - 0.4, -0.6)
        ax.set_xlabel("rank (| median)")
        if not own:
            ax.set_title(title)
            if few:
                ax.legend()
    return Drawn(figure_of(ax), (ax,), lambda: data)


def _dicts(data: Any) -> list[dict[str, Any]]:
    return [dict(zip(data.columns, row, strict=True)) for row in data.fetchall()]
