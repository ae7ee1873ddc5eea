"""What an ingest would do: which heads are there already, what is read, what the disk must hold."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classrel_db import sources
from classrel_db.catalog.ingest import stored_pairs
from classrel_db.errors import DatabaseError
from classrel_db.sources.address import shown_spec
from classrel_db.storage.read import STORED_NEIGHBORS
from classrel_db.text import megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from classrel_db.records import IngestOptions, KnownHead, PairPolicy, StoredModel, ZooEntry
    from classrel_db.sources import Located

    Columns = dict[str, tuple[str, list[Any]]]
    """By name, the type of each column and its values."""

# Bytes on disk, measured in heads of 1,000 classes of random weights, which compress worst.
_PER_PAIR = 6.5
_PER_NEIGHBOR = 10
_WORTH_PROCESSES = 200_000_000  # bytes of heads
_PER_WEIGHT = 8.4  # in the database, and again in the index


@dataclass(frozen=True, slots=True)
class Planned:
    """One model of a plan. ``stands`` is the stored one where there is nothing to do, ``before`` the one
    that it may turn out to be, by ``known``, once its file is opened.

    ``read_bytes`` come from elsewhere or from the disk, ``disk_bytes`` are about what storing takes; None
    where the head's size is known only when its file is opened.
    """

    place: Located
    entry: ZooEntry
    stands: StoredModel | None
    read_bytes: int | None
    disk_bytes: int | None
    before: StoredModel | None = None
    known: KnownHead | None = None

    @property
    def may_change(self) -> bool:
        """Whether only its server can tell if this is still the head that it was."""
        return self.place.takes_labels and self.entry.source != "file"


def planned(
    entries: Mapping[str, tuple[Located, ZooEntry]],
    stored: Mapping[str, StoredModel],
    options: IngestOptions,
    known_head: Callable[[StoredModel], KnownHead],
) -> dict[str, Planned]:
    """The plan for what was located and described, by the names under which it will stand.

    What a zoo publishes under an address stays what it is: where a model of the same name, address and
    settings is stored, it isn't read again. Files and addresses of the user's own are looked at;
    ``known_head`` tells by what they are known again.
    """
    plan = {}
    for name, (place, entry) in entries.items():
        before = stored.get(name)
        if before is not None and not _same_settings(before, entry, options):
            before = None
        stands = None if place.takes_labels or options.head is not None else before
        fetched = options.full and not entry.cached
        read_bytes = entry.file_bytes if fetched else entry.head_bytes
        disk_bytes = _disk_bytes(entry, options.pairs)
        # a weak mark, W/"…", stays the same for files that are only about the same
        marked = before is not None and stands is None and before.etag and before.etag[:2] != "W/"
        plan[name] = Planned(
            place,
            entry,
            stands,
            0 if stands else read_bytes,
            0 if stands else disk_bytes,
            before,
            known_head(before) if marked and before is not None else None,
        )
    return plan


def _same_settings(before: StoredModel, entry: ZooEntry, options: IngestOptions) -> bool:
    """Whether ``before`` came from where ``entry`` lies, and was stored in the same way."""
    return (
        not options.replace
        and (before.source, before.uri) == (entry.source, entry.uri)
        and before.normalization == options.normalization
        and options.pairs in {"auto", "all" if before.n_pairs else "none"}
    )


def require_room(plan: Mapping[str, Planned], database: Path) -> None:
    """Raise DatabaseError where the disk under ``database`` is too full for what is known of the plan."""
    needed = sum(each.disk_bytes or 0 for each in plan.values())
    folder = database.parent
    if not folder.is_dir():
        return  # which opening the database says better
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DatabaseError(
            f"these models take about {megabytes(needed)}, and the disk under {database} has "
            f"{megabytes(free)}; free some space, name a database elsewhere with --db, or give --pairs none"
        )


def worth_processes(plan: Iterable[Planned]) -> bool:
    """Whether what is known of a plan is so much to compute that processes are quicker than threads."""
    known = (each.entry.head_bytes or each.entry.file_bytes or 0 for each in plan)
    return sum(known) >= _WORTH_PROCESSES


def columns(plan: Mapping[str, Planned]) -> Columns:
    """The plan by columns, as ``Catalog.plan`` tells of them."""
    rows = list(plan.values())
    return {
        "model": ("VARCHAR", list(plan)),
        "spec": ("VARCHAR", [shown_spec(each.place.spec) for each in rows]),
        "source": ("VARCHAR", [each.entry.source for each in rows]),
        "state": ("VARCHAR", [_state(each) for each in rows]),
        "classes": ("INTEGER", [each.entry.classes for each in rows]),
        "dim": ("INTEGER", [each.entry.dim for each in rows]),
        "read_bytes": ("BIGINT", [each.read_bytes for each in rows]),
        "file_bytes": ("BIGINT", [each.entry.file_bytes for each in rows]),
        "disk_bytes": ("BIGINT", [each.disk_bytes for each in rows]),
    }


def zoo_columns(pattern: str | None) -> Columns:
    """The entries of all zoos that fit ``pattern``, by columns, as ``Catalog.zoo`` tells of them."""
    entries = list(sources.zoo(pattern))
    return {
        "spec": ("VARCHAR", [entry.spec for entry in entries]),
        "source": ("VARCHAR", [entry.source for entry in entries]),
        "classes": ("INTEGER", [entry.classes for entry in entries]),
        "dim": ("INTEGER", [entry.dim for entry in entries]),
        "head_bytes": ("BIGINT", [entry.head_bytes for entry in entries]),
        "file_bytes": ("BIGINT", [entry.file_bytes for entry in entries]),
        "cached": ("BOOLEAN", [entry.cached for entry in entries]),
    }


def _state(each: Planned) -> str:
    if each.stands is not None:
        return "stored"
    return "local" if each.entry.cached else "remote"


def _disk_bytes(entry: ZooEntry, pairs: PairPolicy) -> int | None:
    if entry.classes is None or entry.dim is None:
        return None
    n, dim = entry.classes, entry.dim
    return round(
        _PER_PAIR * stored_pairs(n, pairs)
        + _PER_NEIGHBOR * n * min(STORED_NEIGHBORS, n - 1)
        + _PER_WEIGHT * n * dim
    )
