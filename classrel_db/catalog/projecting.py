"""The part of a catalog that lays the classes of a model out in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classrel_db.catalog.arguments import require_count, require_one_of
from classrel_db.catalog.opened import Opened
from classrel_db.records import PROJECTIONS

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from classrel_db.records import Projection

_MOST_SEED = 2**32 - 1  # of umap-learn's random numbers


class Projecting(Opened):
    """Maps of classes."""

    def project(self, model: str, by: Projection = "mds", *, seed: int = 0) -> DuckDBPyRelation:
        """The classes of a model as points in the plane, with what to know before trusting them.

        ``mds`` is classical multidimensional scaling of the chord distances sqrt(2-2cos): the two axes
        that hold the most variance, exact and without chance. ``umap`` (extra ``map``) keeps
        neighbourhoods instead and gives distance up: how far apart groups lie means little; the same
        ``seed`` gives the same map.

        A row a class, in their order. Columns: model, class_idx, class, concept, x, y, kept (of the k
        nearest classes, the share that are also among the k nearest on the map), method, seed (NULL for
        mds), explained_x and explained_y (the shares of the variance that the axes hold; NULL for umap),
        trustworthiness (of the whole map, in [0, 1]: 1 where no class comes near that is not, about
        a half for a map drawn at random; Venna & Kaski 2001), k (10, or fewer of few classes). Of two
        classes there is nothing to keep: kept, trustworthiness and k are NULL.

        Raises UnknownModelError, ArgumentError (also for umap of fewer than 4 classes) and
        MissingExtraError (umap-learn is not installed). Warns where UMAP's graph falls into parts.
        """
        from classrel_db.catalog import maps
        from classrel_db.storage import arrays

        require_one_of("by", by, PROJECTIONS)
        require_count("seed", seed, 0, _MOST_SEED)
        chosen = self._one(model)
        return arrays.table(maps.map_rows(self._database.reader, chosen, by, seed))
