"""From what a user typed to heads in memory: every spec is located before the first is read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from classrel_db import sources
from classrel_db.catalog.arguments import require_name
from classrel_db.errors import ArgumentError
from classrel_db.records import LoadOptions, Step
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classrel_db.records import Head, IngestOptions, KnownHead, Progress, ZooEntry
    from classrel_db.sources import Located


def located(
    specs: Sequence[str],
    *,
    name: str | None,
    options: IngestOptions,
) -> dict[str, Located]:
    """Where each spec's head is, by the name that it will be stored under, in the order given.

    Raises ArgumentError for names that collide or options that fit none of them, UnknownModelError for
    a name in no zoo, SourceError for a file that is not there: a misspelt name should not wait for a
    download.
    """
    head, labels = options.head, options.labels
    if labels is not None and not isinstance(labels, str | os.PathLike):
        raise ArgumentError(
            "labels are a file (txt, csv, json) or the name imagenet1k; an .npz file can hold them"
        )
    found = [sources.locate(each) for spec in specs for each in sources.expand(spec)]
    # patterns may overlap: what is meant twice is one
    firsts: dict[tuple[str, str], Located] = {}
    for place in found:
        firsts.setdefault((place.source.name, place.ref), place)
    places = list(firsts.values())
    if name is not None and len(places) > 1:
        raise ArgumentError(
            f"one name ({quoted(str(name))}) for {len(places)} models; ingest them one by one"
        )
    names = [require_name(place.name if name is None else name) for place in places]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise ArgumentError(
            f"two of these models would both be named {quoted(twice)}; ingest one of them with --name"
        )
    if (head is not None or labels is not None) and not any(p.takes_labels for p in places):
        raise ArgumentError(
            f"--head and --labels are for files; {places[0].spec} brings its own head and labels "
            "(another head of a timm model is timm:NAME@HEAD)"
        )
    return dict(zip(names, places, strict=True))


def load(
    place: Located,
    model: str,
    options: IngestOptions,
    tell: Progress,
    known: KnownHead | None = None,
) -> Head | None:
    """Read one head, with its progress told; None where it is the one that is known.

    Raises SourceError, LabelError, WeightsError.
    """

    def reading(
        done: int, total: int, stage: Literal["read", "download"] = "read", note: str = ""
    ) -> None:
        try:
            tell(Step(model, stage, done, total, note))
        except Exception as error:
            raise _CallbackError from error

    try:
        return sources.load(place, replace(_load_options(place, options), known=known), reading)
    except sources.UnchangedHead:
        return None
    except Exception as error:
        # the caller's own error, which a reader may have taken for one of the file's
        own = _callback_error(error)
        if own is not None:
            raise own from None
        raise


def look(place: Located, options: IngestOptions) -> ZooEntry:
    """What :func:`load` would read; files that no zoo knows are opened for it. Raises as that does."""
    return sources.look(place, _load_options(place, options))


def _load_options(place: Located, options: IngestOptions) -> LoadOptions:
    if not place.takes_labels:
        return LoadOptions(full=options.full)
    labels = None if options.labels is None else Path(options.labels)
    return LoadOptions(options.head, labels, options.full)


class _CallbackError(Exception):
    """Carries what a progress callback raised through the readers of files."""


def _callback_error(error: BaseException | None) -> BaseException | None:
    while error is not None and not isinstance(error, _CallbackError):
        error = error.__cause__
    return None if error is None else error.__cause__
