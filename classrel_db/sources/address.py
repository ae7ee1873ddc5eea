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
from classrel_db.spelling import quoted
from classrel_db.text import shown_url

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
        from classrel_db.sources.remote import open_remote

        space, wanted = given_labels(options), options.head
        return measured(
            self.describe(ref), open_remote(ref), _path(ref), space=space, wanted=wanted
        )

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:
        from classrel_db.sources.remote import open_remote

        self.resolve(ref)
        return read_head(
            open_remote(ref, progress, full=options.full),
            _path(ref),
            source=self.name,
            uri=shown_url(ref),
            space=given_labels(options),
            wanted=options.head,
            known=options.known,
        )


def shown_spec(spec: str) -> str:
    """``spec`` as it may be shown: an address without user, password, query and fragment."""
    return shown_url(spec) if _ADDRESS.match(spec) else spec


def _path(ref: str) -> PurePosixPath:
    try:
        parts = urlsplit(ref)
        if parts.scheme in {"http", "https"}:
            # a port that is no number is mostly a password with a / in it
            readable = parts.hostname is not None and parts.port != 0
        else:
            readable = "::" not in ref  # which is fsspec's sign of an address inside another
    except ValueError:
        readable = False
    if not readable:  # it may hold a password, so it isn't shown
        raise SourceError(
            "the host in that address can't be read; give one address, as https://host/path, and the / ? # "
            "of a password as %2F %3F %23"
        )
    return PurePosixPath(unquote(parts.path))
