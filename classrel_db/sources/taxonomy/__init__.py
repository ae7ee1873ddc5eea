"""Taxonomies that users bring: lineage tables, edge lists and Newick trees.

Inside this package a taxon is its index, and -1 stands above the top taxa.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from classrel_db.errors import TaxonomyError
from classrel_db.records import TAXONOMY_KINDS, Taxonomy
from classrel_db.sources.taxonomy.edges import read_edges
from classrel_db.sources.taxonomy.lineage import read_lineage
from classrel_db.sources.taxonomy.newick import read_newick
from classrel_db.sources.taxonomy.parts import assembled, read_text, shown_path
from classrel_db.sources.taxonomy.table import looks_like_newick, read_table
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from pathlib import Path

    from classrel_db.records import TaxonomyKind


def read_taxonomy(path: Path, kind: TaxonomyKind | None = None) -> Taxonomy:
    """The taxonomy in a user's file: a lineage table, an edge list or one Newick tree, in UTF-8.

    ``kind`` is guessed when None. The endings .nwk, .newick, .tree and .tre and text that begins with
    a parenthesis are Newick; a table with the columns ``child`` and ``parent`` is an edge list, any
    other is a lineage table. Tables are separated by tabs (.tsv, .tab), else by whichever of comma,
    semicolon and tab parts their first row into most columns. Cells that are empty or read NA, N/A or -
    are not given.

    Lineage: ranks from the highest to the lowest column; the columns ``concept``, ``synonyms``
    (separated by ``;`` or ``|``) and ``label`` are of the row's lowest taxon. A taxon stands under the
    nearest higher one that its row gives, or that another row gives in between. Edges: ``child`` and
    ``parent``, and if need be ``rank``, ``label``, ``length`` (0 or more, of the branch to the parent),
    ``synonyms`` and ``concept`` of the child; other columns are ignored.

    What has several top taxa gets one root above them. Classes match by every taxon's own name,
    synonyms and concept; of taxa with one name only the one of the lowest rank matches, and none if
    several are left.

    Raises
    ------
    TaxonomyError
        The file can't be read, or it is no taxonomy; the message names the row where there is one.
    """
    where = shown_path(path)
    if kind is not None and kind not in TAXONOMY_KINDS:
        raise TaxonomyError(
            f"{where}: a taxonomy is one of {', '.join(TAXONOMY_KINDS)}, not {quoted(kind)}"
        )
    text = read_text(path, where)
    if kind == "newick" or (kind is None and looks_like_newick(text, path)):
        return assembled(read_newick(text, where), "newick", path, where)
    table = read_table(text, path, where)
    if kind is None:
        kind = "edges" if {"child", "parent"} <= set(table.folded) else "lineage"
    graph = read_edges(table) if kind == "edges" else read_lineage(table)
    return assembled(graph, kind, path, where)
