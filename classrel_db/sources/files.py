"""Heads in anyone's checkpoint files, whose labels the user names."""

from __future__ import annotations

import os
import re
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

_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")  # OWNER/NAME
_PACKED = frozenset({".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"})
_LABELS = frozenset({".csv", ".txt"})

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
        known = _ending(ref) in READERS
        try:
            check_file(path)
        except SourceError as error:
            missing = isinstance(error.__cause__, FileNotFoundError)
            if missing and not known and _HUB_NAME.fullmatch(ref):
                raise SourceError(
                    f"{error}; a model of the Hugging Face Hub is hf:{ref}"
                ) from error
            raise
        if not known:
            raise SourceError(
                f"{quoted(ref, 300)} ends in none of {', '.join(ENDINGS)}; {_remedy(ref)}"
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


def _remedy(ref: str) -> str:
    if _ending(ref) in _PACKED:
        return "unpack it first"
    if _ending(ref) in _LABELS:
        return "if it holds the labels, give it with --labels"
    return "save the head in one of these formats"
