"""A lake: models as a folder of Parquet files, or as the same objects in an object store.

    classes/model_id=3/data.parquet      weights, pairs and neighbors likewise
    trees/model_id=3/data.parquet        leaves, merges, clade_support and tags likewise, where there are any
    models/model_id=3/data.parquet       the last to be written: a model that has it is whole
    shared/comparisons.parquet           what belongs to no single model

``model_id`` is in the names alone, so that the same head makes the same files. Each file appears whole,
and those of classes, weights, pairs and neighbors are never written again. Of several models of one name
that of the highest number stands: it takes the place of the others.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import duckdb

from classrel_db.errors import DatabaseError, LockedDatabaseError, SchemaError
from classrel_db.storage.database import translated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from duckdb import DuckDBPyConnection

DATA = ("classes", "weights", "pairs", "neighbors")  # every model has these
# What a model may have. A reader lists trees first and models before all: a tree is written after its
# merges and leaves.
EXTRAS = ("tags", "leaves", "merges", "clade_support", "trees")
TAXONOMIC = ("taxonomies", "taxa", "taxon_parents", "taxon_names")
SHARED = ("concept_map", *TAXONOMIC, "comparisons", "classrel")

_OWNED = re.compile(
    rf"(?P<table>{'|'.join((*DATA, *EXTRAS, 'models'))})/model_id=(?P<id>[0-9]{{1,9}})/data\.parquet"
)
_OF_A_LAKE = re.compile(rf"{_OWNED.pattern}|shared/({'|'.join(SHARED)})\.parquet")
_WORK = ".exporting-"


class Shelf(Protocol):
    """Where the files of a lake are. Names are relative to it, with ``/``."""

    path: Path
    """As it is shown."""
    is_remote: bool

    def entries(self, folder: str = "") -> dict[str, str]:
        """The files under a folder of the lake, each with a mark that is another when its content is, and
        begins with its size in bytes; none where there is no such folder."""

    def place(self, name: str) -> str:
        """A file as DuckDB is told of it."""

    def serve(self, connection: DuckDBPyConnection) -> None:
        """Let DuckDB read the files, as of the last :meth:`entries`, by their places."""

    def at_hand(self, names: Sequence[str]) -> AbstractContextManager[list[Path]]:
        """These files on this machine, under their own names in any folder."""

    def put(self, name: str, file: Path) -> None:
        """Make ``file``, of the folder that :meth:`exclusive` gives, the content of ``name``, at once."""

    def remove(self, names: Collection[str]) -> None:
        """Remove files; one that is not there any more is none the worse."""

    def exclusive(self) -> AbstractContextManager[Path]:
        """A folder to work in, for one writer of the lake at a time. Raises LockedDatabaseError."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A model of a lake, as its file in ``models`` says."""

    model_id: int
    name: str
    schema: int
    n_classes: int
    content: tuple[object, ...]
    """What is another when the model is to be written again."""
    concepts_sha256: str
    sizes: tuple[int, ...]
    """Of its files of :data:`DATA`, in bytes."""


CONTENT = (
    "rows_sha256", "weights_sha256", "concepts_sha256", "normalization", "n_pairs", "search", "labels_sha256",
)  # fmt: skip


def file_of(table: str, model_id: int) -> str:
    """The name of a model's file of a table."""
    return f"{table}/model_id={model_id}/data.parquet"


def shared_file(table: str) -> str:
    """The name of the file of a table that belongs to no single model."""
    return f"shared/{table}.parquet"


def owner(name: str) -> tuple[str, int] | None:
    """The table and the model that a file is of; None for one of another name."""
    found = _OWNED.fullmatch(name)
    return (found["table"], int(found["id"])) if found else None


def foreign(names: Collection[str]) -> str | None:
    """A file that is not of a lake, if there is any."""
    return next((name for name in sorted(names) if not _OF_A_LAKE.fullmatch(name)), None)


def ids_of(names: Collection[str], table: str) -> list[int]:
    """The models that have a file of a table."""
    found = [owner(name) for name in names]
    return sorted(each[1] for each in found if each is not None and each[0] == table)


def standing(shelf: Shelf, names: Collection[str]) -> tuple[list[Standing], list[int]]:
    """The models of a lake of these files, and the numbers of those that others have replaced.

    Raises DatabaseError where the file of one can't be read.
    """
    files = [file_of("models", model_id) for model_id in ids_of(names, "models")]
    if not files:
        return [], []
    columns = ("model_id", "name", "schema", "n_classes", "concepts_sha256", "sizes", *CONTENT)
    remedy = "remove it, and export its model again"
    with shelf.at_hand(files) as paths, duckdb.connect() as scratch, read_from(shelf, remedy):
        rows = scratch.execute(
            f"SELECT {', '.join(columns)} FROM {parquet(map(literal, paths))} ORDER BY model_id"  # noqa: S608
        ).fetchall()
    of_name = {}
    for model_id, name, number, n_classes, concepts, sizes, *content in rows:
        of_name[name] = Standing(
            model_id, name, number, n_classes, tuple(content), concepts, tuple(sizes)
        )
    kept = sorted(of_name.values(), key=lambda each: each.model_id)
    alive = {each.model_id for each in kept}
    return kept, [row[0] for row in rows if row[0] not in alive]


def require_same_schema(shelf: Shelf, models: Sequence[Standing], schema: int) -> None:
    """Raise SchemaError where a model was exported by a classrel of another schema."""
    others = [each for each in models if each.schema != schema]
    if not others:
        return
    numbers = sorted({each.schema for each in others})
    listed = ", ".join(each.name for each in others[:3]) + (", …" if len(others) > 3 else "")
    raise SchemaError(
        f"the lake {shelf.path} holds models of schema {' and '.join(map(str, numbers))} ({listed}), and "
        f"this classrel reads schema {schema}: "
        + (
            "they were exported by a newer one; upgrade classrel-db"
            if numbers[-1] > schema
            else "export all models into a new lake with this one"
        )
    )


def faults(model: Standing, entries: Mapping[str, str]) -> list[str]:
    """What is wrong with the files that a model must have: which are missing, or not of their size."""
    found = []
    for table, size in zip(DATA, model.sizes, strict=True):
        name = file_of(table, model.model_id)
        if name not in entries:
            found.append(f"{name} is missing")
        elif int(entries[name].partition("-")[0]) != size:
            found.append(f"{name} is cut short or changed")
    return found


def leftovers(names: Collection[str], models: Sequence[Standing]) -> list[str]:
    """The files of no model that stands: of an unfinished export, or of a model that was replaced."""
    alive = {each.model_id for each in models}
    owned = {name: owner(name) for name in names}
    return sorted(name for name, each in owned.items() if each is not None and each[1] not in alive)


def literal(path: Path) -> str:
    """A path as DuckDB is told of it: it takes some signs for patterns, and one in brackets for itself."""
    return re.sub(r"[*?\[]", lambda sign: f"[{sign[0]}]", str(path))


def plain(place: str) -> str:
    """SQL text for the rows of one file, without anything of its name."""
    text = place.replace("'", "''")
    return f"read_parquet('{text}', hive_partitioning = false)"


def parquet(places: Collection[str] | Iterator[str]) -> str:
    """SQL text for the rows of these files, with ``model_id`` from their names."""
    listed = ", ".join("'" + place.replace("'", "''") + "'" for place in places)
    return (
        f"read_parquet([{listed}], hive_partitioning = true, hive_types = {{'model_id': INTEGER}})"
    )


@contextmanager
def read_from(
    shelf: Shelf, remedy: str = "`classrel check` says which it is; export its model again"
) -> Iterator[None]:
    """DuckDB's errors with files of a lake in our words, with what to do."""
    try:
        with translated(shelf.path):
            yield
    except DatabaseError as error:
        if not isinstance(error.__cause__, duckdb.Error):
            raise
        raise DatabaseError(f"{error}: a file of the lake can't be read; {remedy}") from error


class Folder:
    """A lake in a folder of this machine."""

    is_remote = False

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def entries(self, folder: str = "") -> dict[str, str]:
        found: dict[str, str] = {}
        with translated(self.path):
            self._gather(str(self.path / folder), f"{folder}/" if folder else "", found)
        return found

    def _gather(self, folder: str, prefix: str, found: dict[str, str]) -> None:
        try:
            inside = list(os.scandir(folder))
        except FileNotFoundError:
            return
        for each in inside:
            if each.name.startswith("."):
                continue
            if each.is_dir():
                self._gather(each.path, f"{prefix}{each.name}/", found)
                continue
            try:
                state = each.stat()
            except FileNotFoundError:  # it has gone in the meantime
                continue
            found[f"{prefix}{each.name}"] = f"{state.st_size}-{state.st_mtime_ns}-{state.st_ino}"

    def place(self, name: str) -> str:
        return literal(self.path / name)

    def serve(self, connection: DuckDBPyConnection) -> None:
        """DuckDB reads local files by itself."""

    @contextmanager
    def at_hand(self, names: Sequence[str]) -> Iterator[list[Path]]:
        yield [self.path / name for name in names]

    def put(self, name: str, file: Path) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)

    def remove(self, names: Collection[str]) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)
        for folder in {(self.path / name).parent for name in names}:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def unfinished(self) -> list[str]:
        """The folders that killed exports have left, of which one may still be at work."""
        return sorted(each.name for each in self.path.glob(f"{_WORK}*"))

    @contextmanager
    def exclusive(self) -> Iterator[Path]:
        import fcntl

        if not self.path.parent.is_dir():
            raise DatabaseError(
                f"there is no folder {self.path.parent} to hold {self.path.name}; make it first"
            )
        with translated(self.path):
            self.path.mkdir(exist_ok=True)
            # the system lets go of it when the process ends, however it ends
            with (self.path / ".lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise LockedDatabaseError(
                        f"another export is writing to {self.path}; wait until it is done, and try again"
                    ) from error
                for leftover in self.unfinished():
                    shutil.rmtree(self.path / leftover, ignore_errors=True)
                # inside the lake, so that a file takes its name by a rename
                with tempfile.TemporaryDirectory(prefix=_WORK, dir=self.path) as work:
                    yield Path(work)


def differs(one: Path, other: Path) -> bool:
    """Whether two files differ in content."""
    if one.stat().st_size != other.stat().st_size:
        return True
    with one.open("rb") as a, other.open("rb") as b:
        while portion := a.read(1 << 20):
            if portion != b.read(1 << 20):
                return True
    return False
