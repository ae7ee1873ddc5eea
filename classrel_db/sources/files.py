"""Heads in anyone's checkpoint files, whose labels the user names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.errors import SourceError
from classrel_db.sources.checkpoint import READERS, read_head
from classrel_db.sources.counted import check_file
from classrel_db.sources.labels import labels_of
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from classrel_db.records import Head, LoadOptions, ZooEntry
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

    def to_fetch(self, ref: str) -> str | None:  # noqa: ARG002
        return None

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:
        self.resolve(ref)
        path = Path(ref).absolute()
        return read_head(
            path,
            source=self.name,
            uri=str(path),
            space=None if options.labels is None else labels_of(options.labels),
            wanted=options.head,
            progress=progress,
        )


def _ending(ref: str) -> str:
    return Path(ref).suffix.lower()
