"""What callers hand over, checked before anything is opened."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.errors import ArgumentError, UnknownClassError
from classrel_db.records import RESAMPLES
from classrel_db.spelling import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from classrel_db.records import StoredModel

DEFAULT_K = 25
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]i?B|B|)", re.IGNORECASE)
_UNITS = {"": 1, "b": 1} | {
    f"{letter}{binary}b": (1024 if binary else 1000) ** power
    for power, letter in enumerate("kmgt", 1)
    for binary in ("", "i")
}
_USUAL_FREE = 8_000_000_000

MOST_DRAWS = 100_000  # permutations or resamples: all of them are in memory at once


def require_one_of(option: str, value: str, accepted: Sequence[str]) -> None:
    """Raise ArgumentError unless ``value`` is one of ``accepted``."""
    if value not in accepted:
        raise ArgumentError(f"{option} is {quoted(str(value))}; accepted: {', '.join(accepted)}")


def require_measures(
    names: str | Sequence[str] | None, known: Sequence[str], what: str = "measure"
) -> list[str]:
    """The measures that are named, each once, or all ``known`` ones.

    Raises ArgumentError, with the nearest names.
    """
    listed = list(known) if names is None else [names] if isinstance(names, str) else list(names)
    for name in listed:
        if name not in known:
            raise ArgumentError(
                f"no {what} {quoted(str(name))}{did_you_mean(str(name), known)}; measures are "
                f"{', '.join(known)}"
            )
    if not listed:
        raise ArgumentError(f"no {what} is named; they are {', '.join(known)}")
    return list(dict.fromkeys(listed))


def memory_bytes(memory: str | int | None) -> int:
    """An amount of memory in bytes: ``"4GB"``, ``"500 MB"``, a number of bytes; None is half of what is free.

    A GB has 10⁹ bytes, a GiB 2³⁰. Raises ArgumentError for what is no amount.
    """
    if memory is None:
        return free_memory() // 2
    if isinstance(memory, int) and not isinstance(memory, bool) and memory > 0:
        return memory
    found = _AMOUNT.fullmatch(memory.strip()) if isinstance(memory, str) else None
    if found is None or not (amount := float(found[1]) * _UNITS[found[2].lower()]) >= 1:
        raise ArgumentError(
            f"memory is {quoted(str(memory))}; it is an amount such as 4GB, 500MB or 2GiB"
        )
    return int(amount)


def free_memory() -> int:
    """The bytes of memory that are free for this process, within its control group."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return _USUAL_FREE  # a system that does not say
    # what Linux keeps of files in memory is free, too: this counts it
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    with suppress(OSError, ValueError):  # in a container, where a limit is set
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text("ascii"))
        free = min(free, max(0, limit - int((group / "memory.current").read_text("ascii"))))
    return free


def require_specs(specs: Sequence[object]) -> list[str]:
    """The specs as text. Raises ArgumentError for none, or for what is neither text nor a path."""
    if not specs:
        raise ArgumentError("no model to ingest; give a name such as efficientnet_lite0, or a file")
    for spec in specs:
        if not isinstance(spec, str | os.PathLike):
            raise ArgumentError(f"a model is given by a name or a path, not by {spec!r}")
    return [os.fspath(spec) for spec in specs]  # type: ignore[call-overload]


def require_name(name: object, what: str = "a model") -> str:
    """A name of ``what``, without blanks around it. Raises ArgumentError for what can't be one."""
    text = name.strip() if isinstance(name, str) else ""
    if not text or len(text) > 200 or not text.isprintable() or text.startswith("-"):
        raise ArgumentError(
            f"{quoted(str(name))} can't name {what}; a name has 1 to 200 printable characters and "
            "does not begin with a hyphen: give another with --name"
        )
    return text


def require_query(query: object) -> str | int:
    """A class or an expression over classes. Raises ArgumentError for what is neither."""
    if isinstance(query, int) and not isinstance(query, bool):
        return query
    if not isinstance(query, str):
        raise ArgumentError(f"a class is given by text or by an index, not by {query!r}")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(f"{quoted(query)} is no valid text: {error.reason}") from error
    text = query.strip()
    quotes = len(text) > 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1]
    return text[1:-1] if quotes else text


def require_statement(statement: object) -> None:
    """Raise ArgumentError for what is no text."""
    if not isinstance(statement, str):
        raise ArgumentError(f"a statement is SQL as text, not {statement!r}")


def require_k(
    k: object,
    models: Sequence[StoredModel],
    most: Sequence[int],
    *,
    named: bool,
    where: str | None = None,
) -> int:
    """How many neighbours to answer with: ``k``, or by default 25.

    ``most`` says how many each model has; a default, or a model that was not ``named``, is content
    with fewer. Raises ArgumentError for another ``k`` than a whole number from 1 on, and where a
    model can't answer it.
    """
    if k is None and max(most) >= 1:
        return DEFAULT_K
    whole = isinstance(k, int) and not isinstance(k, bool) and k >= 1
    short = [
        (model, n)
        for model, n in zip(models, most, strict=True)
        if not whole or k > n  # type: ignore[operator]
    ]
    if short and (not whole or named or len(short) == len(models)):
        model, n = max(short, key=lambda each: each[1])
        if where is not None and not n:
            raise ArgumentError(f"no other class of {model.name} meets {quoted(where)}")
        if where is not None:
            raise ArgumentError(
                f"k is {k}; {n:,} classes of {model.name} meet {quoted(where)}, so k is a whole number "
                f"from 1 to {n:,}; leave it out for as many as there are, up to 25"
            )
        raise ArgumentError(
            f"k is {k}; {model.name} has {model.n_classes:,} classes, so k is a whole number from 1 "
            f"to {n:,}"
        )
    return k  # type: ignore[return-value]


def require_resampling(resamples: object, seed: object) -> None:
    """Raise ArgumentError unless there is one resample or more, and the seed is not negative."""
    for name, value, least in (("resamples", resamples, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ArgumentError(
                f"{name} is {value!r}; it is a whole number from {least} on"
                f"{f' ({RESAMPLES:,} is usual)' if least else ''}"
            )


def require_in_all(text: str, found: Mapping[int, object], models: Sequence[StoredModel]) -> None:
    """Raise UnknownClassError where one of ``models`` is not among those ``found``, by model_id."""
    missing = [model.name for model in models if model.model_id not in found]
    if missing:
        raise UnknownClassError(
            f"no class {quoted(text)} in {', '.join(missing)}; leave that model out, or see what it "
            f"has with `classrel classes {missing[0]}`"
        )


def require_count(name: str, value: object, least: int, most: int | None, of: str = "") -> int:
    """A whole number from ``least`` to ``most``, if there is a most: that many ``of`` something.

    Raises ArgumentError.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and least <= value and (most is None or value <= most):  # type: ignore[operator]
        return value  # type: ignore[return-value]
    upto = "on" if most is None else f"to {most:,}"
    raise ArgumentError(
        f"{name} is {value!r}; it is a whole number from {least} {upto}{f' ({most:,} {of})' if of else ''}"
    )
