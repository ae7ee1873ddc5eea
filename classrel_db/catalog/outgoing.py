"""Heads on their way out: what each format gets, and in which order."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.catalog.arguments import require_count
from classrel_db.catalog.atlas import OPTIONS, Atlas
from classrel_db.catalog.heads import Heads, require_bytes
from classrel_db.errors import ArgumentError
from classrel_db.outputs import replacing, replacing_folder
from classrel_db.records import Exported, Step
from classrel_db.storage import arrays, exports, read
from classrel_db.targets import archive, projector, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from classrel_db.catalog.exports import Exports
    from classrel_db.records import ExportFormat, Progress, Projection, StoredModel

_MOST_CLUSTERED = 12_000  # classes of a head that is clustered unasked
_USUAL_CLUSTERS = 20  # at most: as many as colours can be told apart


@dataclass(frozen=True)
class Outgoing:
    """Models to be written as ``to`` to ``path``; what only some formats use is None for the others."""

    catalog: Exports
    reader: Callable[[], DuckDBPyConnection]
    path: Path
    to: ExportFormat
    models: Sequence[StoredModel]
    raw: bool
    tell: Progress
    by: Projection = "mds"
    seed: int = 0
    k: int | None = None
    clusters: int | None = None
    taxonomy: str = "wordnet"
    notes: list[str] = field(default_factory=list)

    def write(self) -> Exported:
        """Write the file or the folder."""
        if self.to == "projector":
            with replacing_folder(self.path, projector.foreign, projector.CONFIGURATIONS) as folder:
                self._write_projector(folder)
        else:
            with replacing(self.path) as file:
                if self.to == "npz":
                    self._write_npz(file)
                elif self.to == "embedding-atlas":
                    self._write_atlas(file)
                else:
                    self._write_table(file)
        names = tuple(model.name for model in self.models)
        rows = sum(model.n_classes for model in self.models)
        return Exported(self.path, self.to, names, rows, tuple(self.notes))

    def _write_table(self, file: Path) -> None:
        made = (
            exports.with_rows(
                exports.classes(self.reader(), model), self._column, self._rows(model)
            )
            for model in self._each()
        )
        if self.to == "parquet":
            tables.write_parquet(file, made)
        else:
            dim = max(model.dim for model in self.models)
            tables.write_csv(file, made, self._column, "w" if self.raw else "d", dim)

    def _write_npz(self, file: Path) -> None:
        if len(self.models) > 1:
            raise ArgumentError(
                f"{len(self.models)} models, and an .npz file holds one head; name one with -m, or take "
                ".parquet for all of them"
            )
        (model,) = self.models
        known = exports.classes(self.reader(), model).to_pydict()
        named = {
            "weight": self._heads.raw(model),
            "vector": self._heads.rows(model),
            "labels": np.asarray(known["class"], dtype=np.str_),
            "concepts": np.asarray(known["concept"], dtype=np.str_),
            **{name: np.asarray(known[name]) for name in ("mean", "std", "norm", "scale")},
            "model": np.asarray(model.name),
            "normalization": np.asarray(model.normalization),
        }
        if None not in known["bias"]:
            named["bias"] = np.asarray(known["bias"], dtype=np.float32)
        center = arrays.center(self.reader(), model.model_id)
        if center is not None:
            named["center"] = center
        archive.write_npz(file, named)
        again = ["classrel", "ingest", str(self.path), "--normalize", model.normalization]
        self.notes.append(f"`{shlex.join(again)}` reads the head again, into another database")

    def _write_projector(self, folder: Path) -> None:
        written = projector.write_projector(folder, map(self._embedding, self._each()))
        self.notes.extend(
            f"the vectors of {each.name} are in {each.tensors} alone: as text they are too many"
            for each in written
            if not each.text
        )
        command = shlex.join(["tensorboard", "--logdir", str(self.path)])
        by_hand = [each for each in written if each.text][:1]
        self.notes.append(
            f"open it with `{command}`, tab Projector"
            + "".join(
                f"; or load {each.tensors} and {each.metadata} into the Embedding Projector"
                for each in by_hand
            )
        )

    def _embedding(self, model: StoredModel) -> projector.Embedding:
        groups = self._clusters(model)  # first: it may write to the database, and close it
        known = exports.classes(self.reader(), model)
        columns = {
            name: tables.spelled(known[name]) for name in ("class", "concept", "class_idx", "bias")
        }
        return projector.Embedding(model.name, self._rows(model), {**columns, **groups})

    def _write_atlas(self, file: Path) -> None:
        atlas = Atlas(self.reader, self.models, self.k, self.taxonomy)

        def made() -> Iterator[pa.Table]:
            for model in self._each():
                groups = self._clusters(model)
                points = self.catalog.project(model.name, self.by, seed=self.seed).fetchnumpy()
                self.notes.append(_kept(model, self.by, points))
                table = atlas.table(model, points, groups)
                yield exports.with_rows(table, self._column, self._rows(model))

        tables.write_parquet(file, made())
        command = shlex.join(["embedding-atlas", str(self.path), *OPTIONS])
        self.notes.append(f"open it with `{command}`")

    def _each(self) -> Iterator[StoredModel]:
        """The models, one after the other, each told when it is done."""
        for number, model in enumerate(self.models, 1):
            yield model
            self.tell(Step("", "models", number, len(self.models)))

    @property
    def _column(self) -> str:
        """What the rows are called."""
        return "weight" if self.raw else "vector"

    @cached_property
    def _heads(self) -> Heads:
        return Heads(self.reader, None)

    def _rows(self, model: StoredModel) -> NDArray[np.float32]:
        # the rows, what the database makes of them on the way, and what goes to the file; raw ones are
        # computed in double precision
        require_bytes(
            4 * model.n_classes * model.dim * (6 if self.raw else 3),
            f"exporting {model.n_classes:,} rows of {model.dim:,} numbers",
            "take a larger machine",
        )
        return self._heads.raw(model) if self.raw else self._heads.rows(model)

    def _clusters(self, model: StoredModel) -> dict[str, list[str]]:
        """The column ``cluster``, if any model is to have it: the name of each class's cluster, with a number
        where two are named alike; empty for a model that is not clustered."""
        if not any(self._clusters_of.values()):
            return {}
        if not self._clusters_of[model.name]:
            return {"cluster": [""] * model.n_classes}
        rows = self.catalog.cluster(
            model.name, self._clusters_of[model.name], taxonomy=self.taxonomy
        )
        found = {
            concept: (name, number)
            for concept, name, number in rows.project("concept, name, cluster").fetchall()
        }
        alike = Counter(name for name, _ in set(found.values()))
        classes = read.stored_classes(self.reader(), [model.model_id])
        named = [found[each.concept] for each in classes]
        return {
            "cluster": [f"{name} ({number})" if alike[name] > 1 else name for name, number in named]
        }

    @cached_property
    def _clusters_of(self) -> dict[str, int]:
        """How many clusters each model is cut into; 0 for none."""
        found = {}
        for model in self.models:
            n, wanted = model.n_classes, self.clusters
            if wanted is None:
                wanted = 0 if n > _MOST_CLUSTERED else min(_USUAL_CLUSTERS, round(n**0.5))
            found[model.name] = require_count("clusters", wanted, 0, n, f"classes of {model.name}")
        return found


def _kept(model: StoredModel, by: Projection, points: Mapping[str, NDArray[Any]]) -> str:
    """What a map keeps, in a line."""
    said = f"map of {model.name} by {by}"
    if by == "mds":
        x, y = (100 * float(points[f"explained_{axis}"][0]) for axis in "xy")
        said += f", {x:.1f} + {y:.1f} % of the variance"
    if model.n_classes > 2:
        kept, trustworthiness = points["kept"].mean(), points["trustworthiness"][0]
        said += (
            f": {100 * kept:.0f} % of the {points['k'][0]} nearest classes are near on it, "
            f"trustworthiness {trustworthiness:.2f}"
        )
    return said
