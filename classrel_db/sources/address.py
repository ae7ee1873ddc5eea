"""Heads in checkpoint files that lie behind an address, read without the rest of the file."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from classrel_db.errors import SourceError
from classrel_db.records import ZooEntry
from classrel_db.sources.checkpoint import READERS, measured, read_head
from classrel_db.sources.labels import given_labels
from classrel_db.sources.remote import open_remote
from classrel_db.sources.transport import shown_url
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from classrel_db.records import Head, LoadOptions
    from classrel_db.sources.protocol import ReadProgress

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class AddressSource:
    """Checkpoints by their address: ``https://``, or any protocol of fsspec."""

    name = "url"
    takes_labels = True

    def list(self) -> Iterable[ZooEntry]:
        return ()

    def names(self) -> Sequence[str]:
        return ()

    def knows(self, ref: str) -> bool:
        return _ADDRESS.match(ref) is not None

    def resolve(self, ref: str) -> str:
        path = _path(ref)
        if path.suffix.lower() not in READERS:
            raise SourceError(
                f"the file at {quoted(shown_url(ref), 300)} ends in none of {', '.join(READERS)}; get it and "
                f"give its path, with the ending of its format"
            )
        return path.stem

    def describe(self, ref: str) -> ZooEntry:
        name = self.resolve(ref)
        return ZooEntry(ref, self.name, shown_url(ref), name)

    def look(self, ref: str, options: LoadOptions) -> ZooEntry:
        space, wanted = given_labels(options), options.head
        return measured(
            self.describe(ref), open_remote(ref), _path(ref), space=space, wanted=wanted
        )

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:
        self.resolve(ref)
        return read_head(
            open_remote(ref, progress, full=options.full),
            _path(ref),
            source=self.name,
            uri=shown_url(ref),
            space=given_labels(options),
            wanted=options.head,
        )


def _path(ref: str) -> PurePosixPath:
    try:
        return PurePosixPath(unquote(urlsplit(ref).path))
    except ValueError as error:  # half an IPv6 address; it may hold a password, so it isn't shown
        raise SourceError(
            "the host in that address can't be read; give it as https://host/path"
        ) from error
