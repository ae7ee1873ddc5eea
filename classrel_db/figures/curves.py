"""Distributions and curves: cosines against chance, clades against resamples, two trees cut into k."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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
    legend_height,
)
from classrel_db.records import CLADE_RESAMPLES, DEFAULT_PERMUTATIONS

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from classrel_db.catalog import Catalog
    from classrel_db.records import Linkage, Progress, TreeDistance

_STRONG = 0.7  # support from which a clade is usually right (Hillis & Bull, Syst. Biol. 42, 1993)


def histogram(
    catalog: Catalog,
    model: str,
    *,
    seed: int = 0,
    width: str | float = "column",
    ax: Axes | None = None,
) -> Drawn:
    """The distribution of the cosines of all pairs of classes, with that of shuffled rows.

    The counts are on a logarithmic scale, for the pairs that are alike are few. Data as of
    :meth:`~classrel_db.catalog.Catalog.histogram`. Raises UnknownModelError, ArgumentError.
    """
    data = catalog.histogram(model, seed=seed)
    values = _columns(data)
    name, pairs = str(values["model"][0]), int(values["n"][0])
    title = f"{name}: {pairs:,} pair{'s' if pairs > 1 else ''}"
    high, above = float(values["null_high"][0]), float(values["above"][0])
    names = [
        "pairs of classes",
        "rows shuffled: chance",
        f"97.5 % of chance are below {high:.3f}, and {1 - above:.1%} of the pairs",
    ]
    with drawing([title], names):
        axis = _axis(ax, width, 2.1, title, left=0.72, below=legend_height(len(names)))
        edges = np.append(values["low"], values["high"][-1])
        axis.stairs(values["share"], edges, fill=True, color=colours(1)[0], label=names[0])
        axis.stairs(values["null_share"], edges, color=INK, linewidth=0.9, label=names[1])
        axis.axvline(high, color=INK, linewidth=0.6, linestyle=(0, (4, 3)), label=names[2])
        axis.set_yscale("log")
        axis.set_ylim(0.5 / pairs, 1)
        axis.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axis.yaxis.set_minor_formatter(lambda _share, _: "")
        axis.set_xlabel("cosine (bins of 0.01)")
        axis.set_ylabel("share of pairs")
        if ax is None:
            figure_of(axis).legend(loc="lower left", borderaxespad=0.2, labelspacing=0.3)
        else:
            axis.legend()
    return Drawn(figure_of(axis), (axis,), lambda: data)


def support(
    catalog: Catalog,
    model: str,
    *,
    resamples: int = CLADE_RESAMPLES,
    seed: int = 0,
    method: Linkage = "ward",
    distance: TreeDistance = "chord",
    width: str | float = "column",
    ax: Axes | None = None,
    progress: Progress | None = None,
) -> Drawn:
    """How sure the clades of a model's tree are: the support of each, against its height.

    Support is the share of ``resamples`` bootstrap resamples of the dimensions that have the clade; the
    line is at 70 %. Data: the clades, with the columns of :meth:`~classrel_db.catalog.Catalog.tree`. Raises
    UnknownModelError, ArgumentError.
    """
    rows = catalog.tree(
        model,
        support=True,
        resamples=resamples,
        seed=seed,
        method=method,
        distance=distance,
        progress=progress,
    )
    data = rows.filter("size > 1 AND parent IS NOT NULL")
    values = _columns(data) if data.shape[0] else {}
    name = str(rows.limit(1).project("model").fetchall()[0][0])
    title = f"{name}: no clade but the whole"
    if values:
        strong = np.mean(values["support"] >= _STRONG)
        title = f"{name}: {strong:.0%} of {data.shape[0]:,} clades have 70 % support or more"
    with drawing([title]):
        axis = _axis(ax, width, 2.4, title)
        axis.set_ylim(-0.03, 1.03)
        axis.set_xlabel(f"height, {method} linkage of {distance} distances")
        axis.set_ylabel(f"support, of {resamples:,} resamples")
        if values:
            share = values["support"]
            size = values["size"]
            axis.axhline(_STRONG, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
            axis.scatter(
                values["height"],
                share,
                s=4 * np.sqrt(size),
                color=colours(1)[0],
                alpha=0.45,
                linewidths=0,
            )
            sizes = [each for each in (2, 10, 100, 1_000) if each <= size.max()]
            axis.legend(
                handles=[
                    axis.scatter(
                        [], [], s=4 * each**0.5, color=colours(1)[0], alpha=0.45, linewidths=0
                    )
                    for each in sizes
                ],
                labels=[f"{each:,} classes" for each in sizes],
                loc="upper right",
                handletextpad=0.2,
            )
    return Drawn(figure_of(axis), (axis,), lambda: data)


def bk(
    catalog: Catalog,
    model_a: str,
    model_b: str,
    *more: str,
    permutations: int = DEFAULT_PERMUTATIONS,
    seed: int = 0,
    method: Linkage = "ward",
    distance: TreeDistance = "chord",
    width: str | float = "column",
    ax: Axes | None = None,
    progress: Progress | None = None,
) -> Drawn:
    """The Fowlkes-Mallows index of the trees of two models, or of every two of more, cut into k clusters.

    With the band in which 95 % of ``permutations`` of the leaves lie (Fowlkes & Mallows 1983). Data as of
    :meth:`~classrel_db.catalog.Catalog.compare_trees`. Raises UnknownModelError, ArgumentError.
    """
    data = catalog.compare_trees(
        model_a,
        model_b,
        *more,
        measures="fowlkes-mallows",
        ks="curve",
        permutations=permutations,
        seed=seed,
        method=method,
        distance=distance,
        progress=progress,
    )
    values = _columns(data)
    pairs = list(dict.fromkeys(zip(values["model_a"], values["model_b"], strict=True)))
    names = [f"{a}, {b}" for a, b in pairs]
    band = f"; band: 95 % of {permutations:,} permutations" if permutations else ""
    title = f"Trees cut into k{band}"
    with drawing(names, [title]):
        paint = colours(len(pairs))
        legend = Legend(names, paint, inches(width))
        axis = _axis(ax, width, 2.4, title, below=legend.height)
        if ax is None:
            legend.draw(figure_of(axis))
        for colour, (a, b) in zip(paint, pairs, strict=True):
            own = (values["model_a"] == a) & (values["model_b"] == b)
            k = values["k"][own]
            axis.plot(k, values["estimate"][own], color=colour, label=f"{a}, {b}")
            if permutations:
                low, high = (values[each][own] for each in ("null_low", "null_high"))
                axis.fill_between(k, low, high, color=colour, alpha=0.25, linewidth=0)
        axis.set_xscale("log")
        last = float(values["k"].max())
        ticks = [each for each in (2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000) if each <= last]
        axis.set_xticks(ticks, [f"{each:,}" for each in ticks])
        axis.set_xticks([], minor=True)
        axis.set_ylim(0, 1.02)
        axis.set_xlabel("clusters k")
        axis.set_ylabel("$B_k$", parse_math=True)
        if ax is not None:
            axis.legend()
    return Drawn(figure_of(axis), (axis,), lambda: data)


def _axis(
    ax: Axes | None,
    width: str | float,
    height: float,
    title: str,
    *,
    left: float = 0.55,
    below: float = 0.0,
) -> Axes:
    """Empty axes of a height in inches, with room at the ``left``, and ``below`` for a legend, unless they
    are given."""
    if ax is not None:
        figure_of(ax)
        ax.set_title(title)
        return ax
    foot = 0.42 + below
    sheet = Sheet(width, foot + height + 0.1, title)
    return sheet.axes(left, foot, sheet.across - left - 0.15, height)


def _columns(data: DuckDBPyRelation) -> dict[str, NDArray[Any]]:
    """The columns as arrays: of text, or of numbers with NaN for NULL."""
    rows = data.fetchall()
    return {
        name: np.asarray(
            [row[number] for row in rows], dtype=object if str(kind) == "VARCHAR" else np.float64
        )
        for number, (name, kind) in enumerate(zip(data.columns, data.types, strict=True))
    }
