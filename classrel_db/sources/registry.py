"""The table of sources, and the way from what a user typed to one of them."""

from __future__ import annotations

import re
import warnings
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.errors import ClassrelWarning, MissingExtraError, UnknownModelError
from classrel_db.records import LoadOptions
from classrel_db.sources.address import AddressSource
from classrel_db.sources.files import ENDINGS, FileSource
from classrel_db.sources.protocol import Located, ReadProgress, Source
from classrel_db.spelling import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classrel_db.records import Head, ZooEntry

_FILES = FileSource()
_ADDRESSES = AddressSource()

_NO_OPTIONS = LoadOptions()

_PATTERN = re.compile(r"[*?[]")
_PREFIX = re.compile(r"([A-Za-z]\w+):")  # two characters at least: one is a Windows drive


@cache
def all_sources() -> tuple[Source, ...]:
    """In order of lookup: a name that torchvision and timm both have is torchvision's without a prefix.

    A file and an address need none of the zoos, which are imported only here.
    """
    from classrel_db.sources.zoos.hub import HubSource
    from classrel_db.sources.zoos.packaged import PackagedSource
    from classrel_db.sources.zoos.timm_zoo import TimmSource
    from classrel_db.sources.zoos.torchvision_zoo import TorchvisionSource

    zoos = (PackagedSource(), TorchvisionSource(), TimmSource(), HubSource())
    return (_FILES, _ADDRESSES, *zoos)


def _by_name() -> dict[str, Source]:
    return {source.name: source for source in all_sources()}


def locate(spec: str) -> Located:
    """Find the source of ``spec`` and check that it has such a head, without reading it.

    Two specs of one head have the same source and ref, whatever their names.

    Raises
    ------
    UnknownModelError
        No source, model or weights of that name; the message names the nearest.
    SourceError
        A file that is missing, empty or of another format, or (as MissingExtraError) a package that
        is not installed.
    """
    source, ref = _source_of(spec)
    name = source.resolve(ref)
    whole = source.describe(ref).spec.removeprefix(f"{source.name}:")
    return Located(spec, source, whole, name, source.takes_labels)


def expand(spec: str) -> list[str]:
    """The specs that a pattern such as ``torchvision:resnet*`` stands for; any other spec is itself.

    A pattern has ``*``, ``?`` or ``[`` in it and is no file. Without a zoo before it, it is held against
    all of them, as :func:`zoo` lists them. Raises UnknownModelError where nothing fits, MissingExtraError
    for a zoo whose package is not installed.
    """
    if not _PATTERN.search(spec) or _ADDRESSES.knows(spec) or _is_file(spec):
        return [spec]
    prefix = _PREFIX.match(spec)
    source, _ = _source_of(spec) if prefix else (None, spec)
    if source is not None and not source.names():
        raise UnknownModelError(
            f"{quoted(spec)} is a pattern, and {source.name} takes none; give each name whole"
        )
    found = [entry.spec for entry in zoo(spec if prefix else f"*:{spec}")]
    if not found:
        raise UnknownModelError(
            f"no model fits the pattern {quoted(spec)}; `classrel zoo` lists what there is"
        )
    return found


def zoo(pattern: str | None = None) -> Iterator[ZooEntry]:
    """Every model of every zoo that can be ingested by its name, or those that fit ``pattern``.

    ``pattern`` is a part of the spec, in any case, or has ``*``, ``?``, ``[…]`` in it and fits all of the
    spec or its name. One that names its zoo, ``timm`` or ``timm:resnet*``, is held against that alone, and
    raises MissingExtraError where the zoo's package is not installed; else a ClassrelWarning tells how many
    models are missed.
    """
    named = _by_name().get((pattern or "").casefold().partition(":")[0])
    alone = named if named is not None and named.names() else None
    for source in all_sources() if alone is None else (alone,):
        try:
            yield from (entry for entry in source.list() if _fits(entry.spec, pattern))
        except MissingExtraError as error:
            if alone is not None:
                raise
            missed = sum(_fits(f"{source.name}:{name}", pattern) for name in source.names())
            if missed:
                warnings.warn(
                    f"{error}, with {missed:,} more to ingest by name",
                    ClassrelWarning,
                    stacklevel=3,
                )


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
    if prefix is None and _FILES.knows(spec):
        return _FILES, spec
    if prefix and prefix[1] in _by_name():
        return _by_name()[prefix[1]], spec[prefix.end() :]
    if prefix and not _is_file(spec):
        raise UnknownModelError(
            f"no source {quoted(prefix[1])}; the sources are {', '.join(_by_name())}"
            f"{did_you_mean(prefix[1], list(_by_name()))}"
        )
    for source in all_sources():
        if source.knows(spec):
            return source, spec
    if _is_file(spec):
        return _FILES, spec
    raise _unknown(spec)


def _fits(spec: str, pattern: str | None) -> bool:
    if pattern is None:
        return True
    spec, wanted = spec.casefold(), pattern.casefold()
    if not _PATTERN.search(wanted):
        return wanted in spec
    return fnmatchcase(spec, wanted) or fnmatchcase(spec.partition(":")[2], wanted)


def _is_file(spec: str) -> bool:
    try:
        return Path(spec).is_file()
    except (OSError, ValueError):  # no name that a file can have
        return False


def _unknown(spec: str) -> UnknownModelError:
    zoos = [source for source in all_sources() if not source.takes_labels]
    names = [name for zoo in zoos for name in zoo.names()]
    return UnknownModelError(
        f"no model {quoted(spec)} in {' or '.join(zoo.name for zoo in zoos)}, and a file ends in "
        f"{', '.join(ENDINGS)}{did_you_mean(spec, names)}"
    )
