"""Figures for papers, drawn with matplotlib.

    >>> from classrel_db import figures
    >>> drawn = figures.dendrogram(catalog, "efficientnet_lite0", circle=True)
    >>> drawn.save("tree.svg")
    >>> drawn.data.df()  # the numbers behind it

Each function answers with a :class:`Drawn`: the matplotlib figure, its axes, and its data. Each draws on axes
that it is given, or makes a figure of a journal's column or page in width.
"""

from __future__ import annotations

from classrel_db.figures.bars import neighbors, ranks
from classrel_db.figures.curves import bk, histogram, support
from classrel_db.figures.maps import class_map
from classrel_db.figures.matrices import agreement, heatmap
from classrel_db.figures.style import IMAGE_FORMATS, WIDTHS, Drawn
from classrel_db.figures.tangle import tanglegram
from classrel_db.figures.trees import dendrogram

__all__ = [
    "IMAGE_FORMATS",
    "WIDTHS",
    "Drawn",
    "agreement",
    "bk",
    "class_map",
    "dendrogram",
    "heatmap",
    "histogram",
    "neighbors",
    "ranks",
    "support",
    "tanglegram",
]
