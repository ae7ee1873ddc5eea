"""One class and its neighbours: bars of one or several models, and their ranks over many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.errors import ArgumentError
from classrel_db.figures.style import (
    GREY,
    INK,
    SMALL,
    TINY,
    Drawn,
    colours,
    drawing,
    figure_of,
    inches,
    new_figure,
    shortened,
)
from classrel_db.records import RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from classrel_db.catalog import Catalog
    from classrel_db.records import Progress

_BAR = 0.135  # inches a bar
_MOST_BARS = 100  # in one panel
_FEW_MODELS = 8  # that have a colour each


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
    data = catalog.similar(
        query,
        models=models,
        k=k,
        include_self=include_self,
        support=support,
        resamples=resamples,
        seed=seed,
        progress=progress,
    )
    rows = _dicts(data)
    panels: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        panels.setdefault(row["model"], []).append(row)
    most = max(map(len, panels.values()))
    if most > _MOST_BARS:
        raise ArgumentError(f"{most:,} bars are not for a figure; give k, at most {_MOST_BARS}")
    labels = {row["neighbor_concept"]: shortened(row["neighbor"], 34) for row in rows}
    with drawing(labels.values(), panels):
        if ax is None:
            axes = _panels(len(panels), most, max(map(len, labels.values())), width, support)
        else:
            axes = list(np.ravel(np.asarray(ax, dtype=object)))
            if len(axes) != len(panels):
                raise ArgumentError(f"{len(axes)} axes for {len(panels)} models; give one a model")
        low = min(0.0, min(row["cosine"] for row in rows))
        high = max(0.0, max(row["cosine"] for row in rows))
        for axis, (model, own) in zip(axes, panels.items(), strict=True):
            _bars(axis, model, own, support, (low, high))
        figure = figure_of(axes[0])
        if support:
            _support_scale(axes, resamples, seed)
        if ax is None:
            figure.suptitle(
                f"Classes nearest to “{shortened(rows[0]['class'])}”",
                x=0.01,
                ha="left",
                size=SMALL + 1,
            )
    return Drawn(figure, tuple(axes), lambda: data)


def _panels(n: int, most: int, longest: int, width: str | float | None, scale: bool) -> list[Axes]:
    """Empty axes beside one another, with room for the labels at the left of each."""
    across = inches(width or ("column" if n == 1 else "page"))
    columns = min(n, max(1, int(across / 2.2)))
    lines = -(-n // columns)
    panel = most * _BAR + 0.1
    top, gap, bottom = 0.46, 0.75, 0.4 + (0.5 if scale else 0.0)
    height = top + lines * panel + (lines - 1) * gap + bottom
    figure = new_figure(across * 25.4, height)
    room = min(0.062 * longest * TINY / 7 + 0.08, across / columns * 0.6)
    each = across / columns
    axes = []
    for i in range(n):
        line, column = divmod(i, columns)
        left = column * each + room
        below = height - top - line * (panel + gap) - panel
        axes.append(
            figure.add_axes(
                (left / across, below / height, (each - room - 0.3) / across, panel / height)
            )
        )
    return axes


def _bars(
    axis: Axes, model: str, rows: list[dict[str, Any]], support: bool, limits: tuple[float, float]
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
    axis.set_yticks(places, [shortened(row["neighbor"], 34) for row in rows])
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    span = limits[1] - limits[0] or 1.0
    axis.set_xlim(limits[0] - (0.12 * span if limits[0] < 0 else 0), limits[1] + 0.16 * span)
    axis.set_xlabel("cosine")
    axis.set_title(model)
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


def _support_scale(axes: Sequence[Axes], resamples: int, seed: int) -> None:
    """What the colours mean, below the axes."""
    import matplotlib as mpl

    figure = figure_of(axes[0])
    height = figure.get_size_inches()[1]
    place = figure.add_axes((0.35, 0.36 / height, 0.6, 0.08 / height))
    figure.colorbar(
        mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), "cividis_r"),
        cax=place,
        orientation="horizontal",
    )
    place.set_xlabel(
        f"support, of {resamples:,} resamples of the dimensions (seed {seed})", size=TINY
    )


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
    given = ax
    names = list(dict.fromkeys(row["model"] for row in rows))
    concepts = list(dict.fromkeys(row["neighbor_concept"] for row in rows))
    labels = {row["neighbor_concept"]: shortened(row["neighbor"], 34) for row in rows}
    with drawing(labels.values(), names):
        if ax is None:
            across = inches(width)
            legend = 0.16 * -(-len(names) // 2) if len(names) <= _FEW_MODELS else 0.16
            panel = len(concepts) * _BAR + 0.1
            height = panel + 0.7 + legend
            figure = new_figure(across * 25.4, height)
            room = min(0.058 * max(map(len, labels.values())) + 0.08, across * 0.6)
            ax = figure.add_axes(
                (room / across, (0.4 + legend) / height, 1 - (room + 0.15) / across, panel / height)
            )
        paint = colours(len(names)) if len(names) <= _FEW_MODELS else [GREY] * len(names)
        shift = (
            np.linspace(-0.22, 0.22, len(names))
            if 1 < len(names) <= _FEW_MODELS
            else [0.0] * len(names)
        )
        for name, colour, up in zip(names, paint, shift, strict=True):
            own = [
                (row["rank"], concepts.index(row["neighbor_concept"]))
                for row in rows
                if row["model"] == name
            ]
            x, y = np.asarray(own, dtype=float).T
            ax.scatter(x, y + up, s=9, color=colour, linewidths=0, label=name, zorder=3)
        for place, concept in enumerate(concepts):
            own_ranks = [row["rank"] for row in rows if row["neighbor_concept"] == concept]
            ax.plot([min(own_ranks), max(own_ranks)], [place, place], color="#d9d9d9", zorder=1)
            median = float(np.median(own_ranks))
            ax.plot(
                [median, median], [place - 0.4, place + 0.4], color=INK, linewidth=1.0, zorder=2
            )
        ax.set_xscale("log")
        highest = max(row["rank"] for row in rows)
        ax.set_xlim(0.9, highest * 1.15)
        ticks = [
            t
            for t in (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
            if t <= highest * 1.1
        ]
        ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
        ax.set_xticks([], minor=True)
        ax.set_yticks(range(len(concepts)), [labels[concept] for concept in concepts])
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(concepts) - 0.4, -0.6)
        ax.set_xlabel("rank among the neighbours (| median)")
        title = f"Neighbours of “{shortened(rows[0]['class'])}” in {len(names):,} models"
        if given is None:
            figure_of(ax).suptitle(title, x=0.01, ha="left", size=SMALL + 1)
        else:
            ax.set_title(title)
        if len(names) <= _FEW_MODELS:
            ax.legend(
                loc="upper right",
                bbox_to_anchor=(1.0, -0.42 / (len(concepts) * _BAR + 0.1)),
                ncols=2,
                handletextpad=0.2,
                columnspacing=1.0,
            )
    return Drawn(figure_of(ax), (ax,), lambda: data)


def _dicts(data: Any) -> list[dict[str, Any]]:
    return [dict(zip(data.columns, row, strict=True)) for row in data.fetchall()]
