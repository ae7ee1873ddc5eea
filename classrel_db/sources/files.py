"""Heads in anyone's checkpoint files, whose labels the user names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.errors import SourceError
from classrel_db.records import ZooEntry
from classrel_db.sources.checkpoint import READERS, measured, read_head
from classrel_db.sources.counted import check_file, open_counted
from classrel_db.sources.labels import given_labels
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from classrel_db.records import Head, LoadOptions
    from classrel_db.sources.protocol import ReadProgress

ENDINGS = tuple(READERS)

_SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


class FileSource:
    """Checkpoints by their path."""

    name = "file"
    takes_labels = True

    def list(self) -> Iterable[ZooEntry]:
        return ()

    def names(self) -> Sequence[str]:
        return ()

    def knows(self, ref: str) -> bool:
        """Whether ``ref`` is written as a file: with a folder, or with a known ending."""
        return any(sep in ref for sep in _SEPARATORS) or _ending(ref) in READERS

    def resolve(self, ref: str) -> str:
        path = Path(ref)
        check_file(path)
        if _ending(ref) not in READERS:
            raise SourceError(
                f"{quoted(ref, 300)} ends in none of {', '.join(ENDINGS)}; "
                f"save the head in one of these formats"
            )
        return path.stem

    def describe(self, ref: str) -> ZooEntry:
        name, path = self.resolve(ref), Path(ref).absolute()
        return ZooEntry(ref, self.name, str(path), name, file_bytes=check_file(path), cached=True)

    def look(self, ref: str, options: LoadOptions) -> ZooEntry:
        entry, path = self.describe(ref), Path(ref).absolute()
        space, wanted = given_labels(options), options.head
        return measured(entry, open_counted(path), path, space=space, wanted=wanted)

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:
        self.resolve(ref)
        path = Path(ref).absolute()
        return read_head(
            open_counted(path, progress),
            path,
            source=self.name,
            uri=str(path),
            space=given_labels(options),
            wanted=options.head,
        )


def _ending(ref: str) -> str:
    return Path(ref).suffix.lower()
