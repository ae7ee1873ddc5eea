"""What can stand at the cursor: pure functions from a text to candidates."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import click

from classrel_db.records import FORMATS
from classrel_db.shell.text import SQL_WORDS, is_sql, scan, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from classrel_db.records import NamedQuery
    from classrel_db.shell.session import Session

MOST = 60  # candidates offered at once
_FUZZY_FROM = 3  # letters, before spelling mistakes are looked past
_AFTER_TABLE_WORD = re.compile(r"\b(?:from|join|describe|summarize|table|into)\s+$", re.IGNORECASE)
_AFTER_MODEL = re.compile(
    r"\bmodel\w*\s*(?:=|:=|in\s*\(|!=|<>)\s*\[?\s*(?:'[^']*'\s*,\s*)*$", re.IGNORECASE
)
_MODELS = {"model", "models", "model_a", "model_b", "exclude"}
_CALL = re.compile(r"(\w+)\s*\($")


@dataclass(frozen=True, slots=True)
class Candidate:
    """``text`` takes the place of everything from ``start`` to the cursor; ``meta`` says what it is."""

    text: str
    start: int
    display: str
    meta: str


class Labels:
    """Class labels that can be found by a part or a near spelling of them, fast."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._folded = [label.casefold() for label in labels]

    def find(self, part: str) -> list[str]:
        """The labels nearest to ``part``: those that begin with it, hold a word that does, hold it,
        and at last those spelled like it. Case does not matter."""
        folded = part.casefold()
        if not folded:
            return list(self._labels[:MOST])
        starts: list[int] = []
        inner: list[int] = []
        parts: list[int] = []
        for number, label in enumerate(self._folded):
            place = label.find(folded)
            if place == 0:
                starts.append(number)
            elif place > 0:
                (parts if label[place - 1].isalnum() else inner).append(number)
        found = [*sorted(starts, key=lambda n: len(self._folded[n])), *inner, *parts][:MOST]
        if len(found) < MOST and len(folded) >= _FUZZY_FROM:
            from rapidfuzz import fuzz, process

            near = process.extract(
                folded, self._folded, scorer=fuzz.ratio, score_cutoff=60, limit=MOST
            )
            seen = set(found)
            found += [number for _, _, number in near if number not in seen]
        return [self._labels[number] for number in found[:MOST]]


class Names:
    """The names of one state of a session's database, fetched when they are first needed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.commands = session.commands
        self.backslash = session.backslash_commands
        self._labels: dict[str | None, Labels] = {}

    @cached_property
    def models(self) -> list[str]:
        return list(self._session.catalog.normalizations())

    @cached_property
    def taxonomies(self) -> list[str]:
        return [name for name, *_ in self._session.catalog.taxonomies().fetchall()]

    @cached_property
    def tables(self) -> dict[str, list[str]]:
        return self._session.catalog.tables()

    @cached_property
    def queries(self) -> dict[str, NamedQuery]:
        return self._session.catalog.named_queries

    @cached_property
    def sql_words(self) -> list[str]:
        return self._session.catalog.sql_words()[0]

    @cached_property
    def functions(self) -> list[str]:
        return self._session.catalog.sql_words()[1]

    def labels(self, model: str | None = None) -> Labels:
        """The labels of a model, else of the current one, else of all."""
        chosen = model or self._session.model
        if chosen not in self._labels:
            self._labels[chosen] = Labels(self._session.catalog.labels(chosen))
        return self._labels[chosen]


def warm(names: Names) -> None:
    """Fetch now what the first keystrokes would wait for. Raises DatabaseError."""
    from rapidfuzz import fuzz, process  # noqa: F401 (imported for the first label that is misspelt)

    names.labels()
    _ = names.sql_words


def complete(text: str, names: Names) -> list[Candidate]:
    """The candidates at the end of ``text``, best first."""
    bare = text.lstrip()
    found: Iterable[Candidate]
    if is_sql(text) and bare.split(maxsplit=1)[0].lower() not in names.commands and _begun(bare):
        found = _in_sql(text, names)
    else:
        found = _in_command(text, names)
    once: dict[str, Candidate] = {}
    for candidate in found:
        once.setdefault(candidate.text, candidate)
    return list(once.values())


def _begun(text: str) -> bool:
    """Whether the first word is finished."""
    return bool(re.search(r"[\s(]", text))


# SQL


def _in_sql(text: str, names: Names) -> Iterator[Candidate]:
    found = scan(text)
    if found.inside in {"--", "/*", "$"}:
        return
    if found.inside == "'":
        yield from _in_string(text, found.opened, names)
        return
    last = max(found.ends, default=0)
    if found.inside == '"':
        start, part = found.opened, text[found.opened + 1 :]
    else:
        word = re.search(r"\w*$", text)
        start = word.start() if word else len(text)
        part = text[start:]
    before = text[last:start]
    if _AFTER_TABLE_WORD.search(before):
        yield from _matching(part, start, names.tables, "table")
        yield from _calls(part, start, names)
        return
    call = _open_call(before)
    if call in names.queries:
        for parameter in names.queries[call].parameters:
            if parameter.default is not None and f"{parameter.name} :=" not in before:
                yield from _matching(part, start, [f"{parameter.name} := "], parameter.help[:40])
    if before.endswith("."):
        owner = re.search(r"(\w+)\.$", before)
        columns = names.tables.get(owner[1], []) if owner else []
        yield from _matching(part, start, columns or _columns(names), "column")
        return
    if not part and not call:
        return
    used = [table for table in names.tables if re.search(rf"\b{table}\b", text)]
    mine = [column for table in used for column in names.tables[table]]
    yield from _matching(part, start, dict.fromkeys(mine or _columns(names)), "column")
    yield from _calls(part, start, names)
    yield from _matching(part, start, names.tables, "table")
    yield from _matching(part, start, names.sql_words, "SQL", as_typed=True)
    yield from _matching(part, start, names.functions, "function", ending="(")


def _in_string(text: str, opened: int, names: Names) -> Iterator[Candidate]:
    part = text[opened + 1 :].replace("''", "'")
    before = text[:opened]
    after_model = _AFTER_MODEL.search(before)
    for model in names.models:
        if part.casefold() in model.casefold() and (part or after_model or _CALL.search(before)):
            yield _quoted_sql(model, opened, "model")
    if after_model:
        return
    for label in names.labels().find(part):
        yield _quoted_sql(label, opened, "class")


def _quoted_sql(value: str, start: int, meta: str) -> Candidate:
    doubled = value.replace("'", "''")
    return Candidate(f"'{doubled}'", start, value, meta)


def _calls(part: str, start: int, names: Names) -> Iterator[Candidate]:
    for query in names.queries.values():
        if query.name.startswith(part.lower()):
            yield Candidate(f"{query.name}(", start, query.signature, "macro")


def _columns(names: Names) -> list[str]:
    return [column for columns in names.tables.values() for column in columns]


def _open_call(before: str) -> str:
    """The function whose parentheses are open at the end of ``before``."""
    depth = 0
    for place in range(len(before) - 1, -1, -1):
        if before[place] == ")":
            depth += 1
        elif before[place] == "(":
            if depth == 0:
                name = re.search(r"(\w+)\s*$", before[:place])
                return name[1].lower() if name else ""
            depth -= 1
    return ""


def _matching(
    part: str,
    start: int,
    choices: Iterable[str],
    meta: str,
    *,
    as_typed: bool = False,
    ending: str = "",
) -> Iterator[Candidate]:
    folded = part.lower()
    for choice in choices:
        if choice.lower().startswith(folded) and choice.lower() != folded:
            shown = choice.lower() if as_typed and part and part.islower() else choice
            yield Candidate(shown + ending, start, choice, meta)


# commands


def _in_command(text: str, names: Names) -> Iterator[Candidate]:
    if text.lstrip().startswith("\\"):
        yield from _in_backslash(text, names)
        return
    line = words(text)
    if not line.finished:
        own = ["use", "help", "exit"]
        yield from _matching(line.unfinished, line.start, names.commands, "command")
        yield from _matching(line.unfinished, line.start, own, "shell")
        if line.unfinished:
            upper = sorted(word.upper() for word in SQL_WORDS)
            yield from _matching(line.unfinished, line.start, upper, "SQL", as_typed=True)
        return
    first, *rest = line.finished
    first = first.lower()
    if first == "use":
        yield from _values(names.models, line.unfinished, line.start, line.quote, "model")
    elif first == "help":
        yield from _topics(line.unfinished, line.start, names)
    elif first in names.commands:
        yield from _of_command(names.commands[first], rest, text, names)


def _in_backslash(text: str, names: Names) -> Iterator[Candidate]:
    first, blank, rest = text.lstrip().partition(" ")
    lead = len(text) - len(text.lstrip())
    if not blank:
        yield from _matching(first, lead, names.backslash, "shell")
        return
    start = lead + len(first) + 1
    line = words(rest)
    part, place = line.unfinished, start + line.start
    if first in {"\\d", "\\dm"}:
        if first == "\\d":
            yield from _matching(part, place, names.tables, "table")
        yield from _matching(part, place, names.queries, "macro")
    elif first in {"\\format", "\\last"} and not line.finished:
        yield from _matching(part, place, FORMATS, "format")
    elif first == "\\help":
        yield from _topics(part, place, names)
    elif first in {"\\o", "\\read", "\\last"}:
        yield from _files(part, place)
    elif first in {"\\explain", "\\watch", "\\e"}:
        if first == "\\watch":
            start += len(rest) - len(rest.lstrip("0123456789. "))
        for candidate in _in_sql(text[start:], names):
            yield replace(candidate, start=candidate.start + start)


def _topics(part: str, start: int, names: Names) -> Iterator[Candidate]:
    yield from _matching(part, start, ["sql", "keys"], "topic")
    yield from _matching(part, start, names.commands, "command")
    yield from _matching(part, start, names.queries, "macro")


def _of_command(
    command: click.Command, done: Sequence[str], text: str, names: Names
) -> Iterator[Candidate]:
    line = words(text)
    if isinstance(command, click.Group):
        named = command.commands.get(done[0]) if done else None
        if named is not None:
            yield from _of_command(named, done[1:], text, names)
            return
        if not done:
            yield from _matching(line.unfinished, line.start, command.commands, "command")
        own = command.commands.get(getattr(command, "default", ""))
        if own is not None:
            yield from _of_command(own, done, text, names)
        return
    options = _options(command)
    awaited = options.get(done[-1]) if done else None
    if awaited is not None and not awaited.is_flag:
        yield from _for_parameter(awaited, text, names, done)
        return
    if line.unfinished.startswith("-"):
        for spelling, option in options.items():
            if spelling.startswith(line.unfinished) and spelling.startswith("--"):
                yield Candidate(spelling, line.start, spelling, (option.help or "")[:50])
        return
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    given = positional(command, done)
    if command.name == "query" and given:
        yield from _of_query(given[0], text, names)
        return
    place = min(len(given), len(arguments) - 1)
    if arguments and (len(given) < len(arguments) or arguments[-1].nargs == -1):
        yield from _for_parameter(arguments[place], text, names, done)


def _options(command: click.Command) -> dict[str, click.Option]:
    return {
        spelling: parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for spelling in parameter.opts
    }


def positional(command: click.Command, done: Sequence[str]) -> list[str]:
    """The words that are neither options nor their values."""
    options = _options(command)
    given: list[str] = []
    skip = False
    for word in done:
        if skip:
            skip = False
        elif word in options:
            skip = not options[word].is_flag
        elif not word.startswith("-"):
            given.append(word)
    return given


def _for_parameter(
    parameter: click.Parameter, text: str, names: Names, done: Sequence[str]
) -> Iterator[Candidate]:
    line = words(text)
    if isinstance(parameter.type, click.Choice):
        yield from _matching(line.unfinished, line.start, map(str, parameter.type.choices), "")
    elif isinstance(parameter.type, click.Path):
        yield from _files(line.unfinished, line.start)
    elif parameter.name in _MODELS:
        yield from _values(names.models, line.unfinished, line.start, line.quote, "model")
    elif parameter.metavar == "CLASS":
        asked = next((done[i + 1] for i, w in enumerate(done[:-1]) if w in {"-m", "--model"}), None)
        model = asked if asked in names.models else None
        found = names.labels(model).find(line.unfinished)
        yield from _values(found, "", line.start, line.quote, "class")
    elif parameter.name in {"against", "taxonomy"}:
        yield from _values(names.taxonomies, line.unfinished, line.start, line.quote, "taxonomy")
    elif parameter.name == "name":
        yield from _matching(line.unfinished, line.start, names.queries, "query")


def _of_query(name: str, text: str, names: Names) -> Iterator[Candidate]:
    query = names.queries.get(name)
    if query is None:
        return
    line = words(text)
    key, equals, value = line.unfinished.partition("=")
    if not equals:
        for parameter in query.parameters:
            if parameter.name.startswith(key):
                yield Candidate(
                    f"{parameter.name}=", line.start, parameter.shown, parameter.help[:50]
                )
        return
    if key.startswith("model"):
        head, comma, part = value.rpartition(",")
        for model in names.models:
            if part.casefold() in model.casefold():
                yield Candidate(f"{key}={head}{comma}{model}", line.start, model, "model")
    elif key.startswith("class"):
        for label in names.labels().find(value):
            yield Candidate(_shell_quoted(f"{key}={label}", line.quote), line.start, label, "class")


def _values(
    choices: Iterable[str], part: str, start: int, quote: str, meta: str
) -> Iterator[Candidate]:
    for choice in choices:
        if part.casefold() in choice.casefold():
            yield Candidate(_shell_quoted(choice, quote), start, choice, meta)


def _shell_quoted(value: str, quote: str) -> str:
    """``value`` as one word of a command line, in the quotes that were begun with, or in those it needs."""
    if value.startswith("-"):
        value = f" {value}"  # or it is taken for an option; the blank is stripped from a class
    plain = re.fullmatch(r"[\w@%+=:,./-]+", value) is not None
    if plain and not quote:
        return value
    if "'" not in value and quote != '"':
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _files(part: str, start: int) -> Iterator[Candidate]:
    from pathlib import Path

    folder = Path(part).expanduser() if part.endswith("/") else Path(part).expanduser().parent
    stem = "" if part.endswith("/") else Path(part).name
    shown = part[: len(part) - len(stem)]
    try:
        entries = sorted(folder.iterdir())[:500]
    except OSError:
        return  # nothing can be offered there
    for entry in entries:
        if entry.name.startswith(stem) and (stem.startswith(".") or not entry.name.startswith(".")):
            name = f"{shown}{entry.name}{'/' if entry.is_dir() else ''}"
            yield Candidate(_shell_quoted(name, ""), start, entry.name, "file")
