"""The table of sources, and the way from what a user typed to one of them."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.errors import UnknownModelError
from classrel_db.records import LoadOptions
from classrel_db.sources.address import AddressSource
from classrel_db.sources.files import ENDINGS, FileSource
from classrel_db.sources.protocol import Located, ReadProgress, Source
from classrel_db.sources.zoos.hub import HubSource
from classrel_db.sources.zoos.packaged import PackagedSource
from classrel_db.sources.zoos.timm_zoo import TimmSource
from classrel_db.sources.zoos.torchvision_zoo import TorchvisionSource
from classrel_db.spelling import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classrel_db.records import Head, ZooEntry

_FILES = FileSource()
_ADDRESSES = AddressSource()

SOURCES: tuple[Source, ...] = (
    _FILES, _ADDRESSES, PackagedSource(), TorchvisionSource(), TimmSource(), HubSource(),
)  # fmt: skip
"""In order of lookup: a name that torchvision and timm both have is torchvision's without a prefix."""

_NO_OPTIONS = LoadOptions()
_BY_NAME = {source.name: source for source in SOURCES}

_PATTERN = re.compile(r"[*?[]")
_PREFIX = re.compile(r"([A-Za-z]\w+):")  # two characters at least: one is a Windows drive


def locate(spec: str) -> Located:
    """Find the source of ``spec`` and check that it has such a head, without reading it.

    Raises
    ------
    UnknownModelError
        No source, model or weights of that name; the message names the nearest.
    SourceError
        A file that is missing, empty or of another format, or (as MissingExtraError) a package that
        is not installed.
    """
    source, ref = _source_of(spec)
    return Located(spec, source, ref, source.resolve(ref), source.takes_labels)


def expand(spec: str) -> list[str]:
    """The specs that a pattern such as ``torchvision:resnet*`` stands for; any other spec is itself.

    A pattern has ``*``, ``?`` or ``[`` in it and is no file. Without a zoo before it, it is held against
    all of them. Raises UnknownModelError where nothing fits.
    """
    if not _PATTERN.search(spec) or _ADDRESSES.knows(spec) or _is_file(spec):
        return [spec]
    prefix = _PREFIX.match(spec)
    source, _ = _source_of(spec) if prefix else (None, spec)
    zoos = zoo() if source is None else source.list()
    wanted = spec if prefix else f"*:{spec}"
    found = [entry.spec for entry in zoos if fnmatchcase(entry.spec, wanted)]
    if not found:
        raise UnknownModelError(
            f"no model fits the pattern {quoted(spec)}; `classrel zoo` lists what there is"
        )
    return found


def zoo() -> Iterator[ZooEntry]:
    """Every model of every zoo that can be ingested by its name."""
    for source in SOURCES:
        yield from source.list()


def look(located: Located, options: LoadOptions) -> ZooEntry:
    """What ``load`` would read, by opening files that no zoo knows; raises as ``load``."""
    return located.source.look(located.ref, options)


def load(
    located: Located,
    options: LoadOptions = _NO_OPTIONS,
    progress: ReadProgress | None = None,
) -> Head:
    """Read the head of ``located``.

    ``options`` speak of files; a source that knows its own head and labels ignores them.
    """
    return located.source.load(located.ref, options, progress)


def describe(located: Located) -> ZooEntry:
    """What ``load`` would read, as far as that is known without a network."""
    return located.source.describe(located.ref)


def _source_of(spec: str) -> tuple[Source, str]:
    if _ADDRESSES.knows(spec):
        return _ADDRESSES, spec
    prefix = _PREFIX.match(spec)
    if prefix and prefix[1] in _BY_NAME:
        return _BY_NAME[prefix[1]], spec[prefix.end() :]
    if prefix and not _is_file(spec):
        raise UnknownModelError(
            f"no source {quoted(prefix[1])}; the sources are {', '.join(_BY_NAME)}"
            f"{did_you_mean(prefix[1], list(_BY_NAME))}"
        )
    for source in SOURCES:
        if source.knows(spec):
            return source, spec
    if _is_file(spec):
        return _FILES, spec
    raise _unknown(spec)


def _is_file(spec: str) -> bool:
    try:
        return Path(spec).is_file()
    except (OSError, ValueError):  # no name that a file can have
        return False


def _unknown(spec: str) -> UnknownModelError:
    zoos = [source for source in SOURCES if not source.takes_labels]
    names = [name for zoo in zoos for name in zoo.names()]
    return UnknownModelError(
        f"no model {quoted(spec)} in {' or '.join(zoo.name for zoo in zoos)}, and a file ends in "
        f"{', '.join(ENDINGS)}{did_you_mean(spec, names)}"
    )
