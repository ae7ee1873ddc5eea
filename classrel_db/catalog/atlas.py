"""The table that embedding-atlas opens: a map, the nearest classes, clusters and taxa of several models."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.catalog.arguments import DEFAULT_K, require_count
from classrel_db.catalog.tree_rows import Named, require_taxonomy
from classrel_db.errors import DatabaseError
from classrel_db.maths.projection import laid_upon
from classrel_db.storage import arrays, exports, read
from classrel_db.storage.read import STORED_NEIGHBORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.catalog.tree_rows import Columns
    from classrel_db.records import StoredModel

# --features taxa is not among them: DuckDB 2 refuses how embedding-atlas 0.26 asks for it
OPTIONS = ("--text", "class", "--x", "x", "--y", "y", "--neighbors", "neighbors")
_LEAST_ANCHORS = 3  # shared classes that say how a map lies upon another


@dataclass
class Atlas:
    """Tables of models, one after the other, as parts of one; ``k`` neighbours of each class."""

    reader: Callable[[], DuckDBPyConnection]
    models: Sequence[StoredModel]
    k: int | None
    taxonomy: str
    rows: int = 0  # so far
    first: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # the first map, by concept

    def __post_init__(self) -> None:
        require_taxonomy(self.reader(), self.taxonomy)
        self.named = {
            model.name: Named(self.reader(), model, self.taxonomy) for model in self.models
        }
        self.has_taxa = any(each.placed.of_class for each in self.named.values())
        self.neighbors = {model.name: self._count(model) for model in self.models}

    def table(
        self,
        model: StoredModel,
        points: Mapping[str, NDArray[np.generic]],
        groups: Mapping[str, Sequence[str]],
    ) -> pa.Table:
        """The table of the next model, with its map and clusters.

        The ids of neighbours are the numbers of rows over all models, as embedding-atlas counts them.
        """
        named = self.named[model.name]
        known = exports.classes(self.reader(), model).to_pydict()
        indices, cosines = self._nearest(model)
        position = self._upon_the_first(
            np.stack([points["x"], points["y"]], axis=1).astype(np.float64), known["concept"]
        )
        n, dim = len(indices), model.dim
        mean, std = np.asarray(known["mean"]), np.asarray(known["std"])
        columns: Columns = {
            "class": ("VARCHAR", known["class"]),
            "model": ("VARCHAR", known["model"]),
            "x": ("DOUBLE", position[:, 0].tolist()),
            "y": ("DOUBLE", position[:, 1].tolist()),
            **{name: ("VARCHAR", values) for name, values in groups.items()},
            "nearest": ("VARCHAR", [known["class"][index] for index in indices[:, 0]]),
            "nearest_cosine": ("DOUBLE", cosines[:, 0].tolist()),
            "kept": ("DOUBLE", _with_none(points["kept"])),
            "concept": ("VARCHAR", known["concept"]),
            "bias": ("DOUBLE", known["bias"]),
            "raw_norm": ("DOUBLE", np.sqrt(dim * mean**2 + (dim - 1) * std**2).tolist()),
        }
        if self.has_taxa:
            columns["taxa"] = ("VARCHAR[]", _taxa(named, n))
        plain = arrays.table(columns).to_arrow_table()
        table = exports.with_neighbors(plain, indices + self.rows, 1 - cosines)
        self.rows += n
        return table

    def _count(self, model: StoredModel) -> int:
        most = min(STORED_NEIGHBORS, model.n_classes - 1)
        if self.k is None:
            return min(DEFAULT_K, most)
        what = (
            "nearest classes are stored"
            if most == STORED_NEIGHBORS
            else f"other classes of {model.name}"
        )
        return require_count("k", self.k, 1, most, what)

    def _nearest(self, model: StoredModel) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The nearest classes of each and their cosines (C×k each)."""
        try:
            indices, cosines = arrays.stored_neighbors(
                self.reader(), model, min(STORED_NEIGHBORS, model.n_classes - 1)
            )
        except ValueError as error:
            raise DatabaseError(
                f"the neighbours of {model.name}: {error}; ingest the head again with --replace"
            ) from error
        k = self.neighbors[model.name]
        return indices[:, :k], cosines[:, :k]

    @cached_property
    def read_as(self) -> Mapping[str, str]:
        """The concepts that count as another one."""
        return read.concept_map(self.reader())

    def _upon_the_first(
        self, points: NDArray[np.float64], concepts: Sequence[str]
    ) -> NDArray[np.float64]:
        """The map turned so that it lies on the first one, where they share classes enough."""
        concepts = [self.read_as.get(concept, concept) for concept in concepts]
        if not self.first:
            self.first = dict(zip(concepts, points, strict=True))
            return points
        shared = [index for index, concept in enumerate(concepts) if concept in self.first]
        if len(shared) < _LEAST_ANCHORS:
            return points
        targets = np.stack([self.first[concepts[index]] for index in shared])
        return laid_upon(points, points[shared], targets)


def _taxa(named: Named, n: int) -> list[list[str]]:
    """The taxa above each of n classes, itself left out, the deepest first."""
    placed, ancestry = named.placed, named.ancestry
    deepest = sorted(range(len(placed.taxa)), key=lambda t: (-placed.depths[t], placed.labels[t]))
    above: list[list[str]] = [[] for _ in range(n)]
    for taxon in deepest:
        for index in ancestry.members(taxon).tolist():
            if ancestry.taxon[index] != taxon:
                above[index].append(placed.labels[taxon])
    return above


def _with_none(values: NDArray[np.generic]) -> list[float | None]:
    """Numbers of a column of the database, None where there is none."""
    filled = np.ma.masked_invalid(np.ma.asarray(values, dtype=np.float64))
    found: list[float | None] = filled.tolist()
    return found
