"""The part of a catalog that writes heads to files which other programs open."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.catalog.arguments import require_one_of
from classrel_db.catalog.opened import is_address, shelf_at
from classrel_db.catalog.projecting import Projecting
from classrel_db.catalog.trees import Trees
from classrel_db.errors import ArgumentError
from classrel_db.outputs import require_other
from classrel_db.records import EXPORT_FORMATS, Exported
from classrel_db.text import shown_url

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from classrel_db.records import ExportFormat, Progress, Projection, StoredModel

_ENDINGS: dict[str, ExportFormat] = {".parquet": "parquet", ".npz": "npz", ".csv": "csv"}
# what only some formats have a use for
_USED_BY: dict[str, set[ExportFormat]] = {
    "raw": {"embedding-atlas", "projector", "parquet", "csv"},
    "by": {"embedding-atlas"},
    "seed": {"embedding-atlas"},
    "k": {"embedding-atlas"},
    "clusters": {"embedding-atlas", "projector"},
    "taxonomy": {"embedding-atlas", "projector"},
}


class Exports(Projecting, Trees):
    """Files for other programs."""

    def export(
        self,
        path: str | os.PathLike[str],
        to: ExportFormat | None = None,
        *,
        models: str | Sequence[str] | None = None,
        raw: bool = False,
        by: Projection | None = None,
        seed: int | None = None,
        k: int | None = None,
        clusters: int | None = None,
        taxonomy: str | None = None,
        progress: Progress | None = None,
    ) -> Exported:
        """Write ``models``, or all, to a file or folder, a row a class; whole or not at all.

        ``to`` is told from the ending of ``path`` where that is .parquet, .npz or .csv:

        - ``parquet`` and ``csv``: model, class_idx, class, concept, bias, mean, std, norm, scale,
          normalization, and the row: in Parquet a list ``vector``, in csv the columns d0, d1, …
        - ``npz``: one model; weight and bias (the raw head), labels and concepts, which `ingest` reads again;
          vector (the normalised rows), mean, std, norm, scale, center, normalization, model.
        - ``embedding-atlas``: the Parquet file that Apple's embedding-atlas opens: with a map (``by`` and
          ``seed`` as for :meth:`project`), the ``k`` nearest classes (25, or fewer of a small head), clusters
          and taxa. Each model has a map of its own; all are turned so as to lie on that of the first as
          well as they can, by the classes that they share.
        - ``projector``: a folder for TensorBoard and the TensorFlow Embedding Projector.

        A lake is what ``parquet`` makes of a folder (one that is there, or a path that ends in "/") or of an
        address such as ``s3://bucket/folder``: all that is stored of each model, in files of its own, which
        :func:`open` reads again, from as many machines as there are, while models are added. There,
        a model that is unchanged stays, one of the same name is replaced, and others are left alone; readers
        see each model whole or not at all. Credentials of a store come from the environment.

        Rows are normalised, as they are stored, or with ``raw`` as the head has them, to within float32
        rounding: then ``vector`` is called ``weight``, and d0 is w0. The last two formats bring ``clusters``
        of each model's Ward tree, named by ``taxonomy`` (wordnet by default): by default sqrt(C) of them,
        at most 20, and none of a head beyond 12,000 classes; 0 for none.

        Raises ArgumentError, UnknownModelError, MissingExtraError for a map without umap-learn or a store
        without its package, and DatabaseError for a lake that can't be written.
        """
        if not isinstance(path, str | os.PathLike):
            raise ArgumentError(f"an export is written to a path, not {path!r}")
        place = os.fspath(path)
        target = Path(place)
        chosen_format = _format_of(target, to)
        is_lake = _is_lake(place, chosen_format)
        given: dict[str, Any] = {
            "by": by,
            "seed": seed,
            "k": k,
            "clusters": clusters,
            "taxonomy": taxonomy,
        }
        used = {name: value for name, value in given.items() if value is not None}
        _require_used([*used, *(["raw"] if raw else [])], chosen_format)
        if seed is not None and by != "umap":
            raise ArgumentError(
                "seed is for a map by umap; mds draws nothing at random: leave it out"
            )
        chosen = self._known_now().lookup.models(models)
        if is_lake:
            if raw:
                raise ArgumentError(
                    "raw is for a file; a lake holds rows as they are stored, with what makes raw ones of "
                    "them: leave it out"
                )
            return self._laid(place, chosen, progress or (lambda _step: None))
        require_other(target, self.path)
        from classrel_db.catalog.outgoing import Outgoing

        tell = progress or (lambda _step: None)
        reader = self._database.reader
        return Outgoing(self, reader, target, chosen_format, chosen, raw, tell, **used).write()

    def _laid(self, place: str, models: Sequence[StoredModel], tell: Progress) -> Exported:
        """A lake at ``place``, with ``models`` in it."""
        from classrel_db.storage.lake_export import lay

        shelf = shelf_at(place)
        if shelf.path == self.path:
            raise ArgumentError(f"{shelf.path} is the lake itself; write to another folder")
        laid = lay(self._database.reader, shelf, models, tell)
        done = {"added": laid.added, "replaced": laid.replaced, "unchanged": laid.unchanged}
        counted = ", ".join(f"{len(names)} {what}" for what, names in done.items() if names)
        return Exported(
            shelf.path,
            "parquet",
            tuple(model.name for model in models),
            sum(model.n_classes for model in models),
            (
                counted,
                f"read it with `{shlex.join(['classrel', '--db', str(shelf.path), 'models'])}`",
            ),
        )


def _is_lake(place: str, format: ExportFormat) -> bool:
    """Whether this is a place for a lake, and not for a file. Raises ArgumentError for what is for none."""
    if is_address(place):
        if format != "parquet" or place.endswith(".parquet"):
            raise ArgumentError(
                f"{shown_url(place)} is an address, and there only a lake can be written: name a folder "
                "there, with --to parquet, or write the file here"
            )
        return True
    if format != "parquet" or Path(place).suffix.lower() == ".parquet":
        return False
    return place.endswith(os.sep) or Path(place).is_dir()


def _format_of(path: Path, to: ExportFormat | None) -> ExportFormat:
    """The format asked for, else the one that the ending names. Raises ArgumentError where they disagree."""
    by_ending = _ENDINGS.get(path.suffix.lower())
    if str(path) in {"-", "/dev/stdout"}:
        raise ArgumentError("an export is a file or a folder, and not standard output; name one")
    if to is None:
        if by_ending is None:
            raise ArgumentError(
                f"can't tell what to write to {path} by its ending; use {', '.join(_ENDINGS)} or give "
                f"--to, one of {', '.join(EXPORT_FORMATS)}"
            )
        return by_ending
    require_one_of("to", to, EXPORT_FORMATS)
    if to == "embedding-atlas" and by_ending != "parquet":
        raise ArgumentError(
            f"embedding-atlas knows a file by its ending, and {path} has another; end it in .parquet"
        )
    if by_ending not in {None, "parquet" if to == "embedding-atlas" else to}:
        raise ArgumentError(
            f"{to} is asked for and {path} ends in {path.suffix}; leave --to out, or name another {to} "
            f"{'folder' if to == 'projector' else 'file'}"
        )
    return to


def _require_used(given: Sequence[str], format: ExportFormat) -> None:
    """Raise ArgumentError for what was given and makes no difference to this format."""
    for name in given:
        if format not in _USED_BY[name]:
            reason = "has both rows, raw and normalised" if name == "raw" else "has no use for it"
            others = ", ".join(each for each in EXPORT_FORMATS if each in _USED_BY[name])
            raise ArgumentError(f"{name} is for {others}; {format} {reason}: leave it out")
