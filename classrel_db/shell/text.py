"""What a line of the shell is: SQL or a command, finished or not, and where its words are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Inside = Literal["", "'", '"', "--", "/*", "$"]

# What DuckDB's statements begin with; the shell's own commands go before them (`use` is one).
SQL_WORDS = frozenset(
    re.findall(
        r"\w+",
        "alter analyze attach begin call checkpoint comment commit copy create deallocate delete desc "
        "describe detach drop execute explain export force from import insert install load merge "
        "pivot pragma prepare refresh reset rollback select set show summarize table truncate unpivot "
        "update vacuum values with",
    )
)
_FIRST_WORD = re.compile(r"\s*(\(|[A-Za-z_]+)")
_DOLLAR = re.compile(r"\$\w*\$")


@dataclass(frozen=True, slots=True)
class Scan:
    """Where an SQL text's statements end, and what its end is inside of.

    ``ends`` are the positions behind each semicolon that ends a statement; ``inside`` is the mark
    that opened the string, identifier or comment that is still open, at ``opened``.
    """

    ends: tuple[int, ...]
    inside: Inside
    opened: int


def scan(text: str) -> Scan:
    """Read SQL as far as quotes, comments and semicolons go."""
    ends: list[int] = []
    place = 0
    while place < len(text):
        mark = text[place]
        if mark in "'\"":
            end = _end_of_quoted(text, place)
            if end < 0:
                return Scan(tuple(ends), mark, place)  # type: ignore[arg-type]
            place = end
        elif text.startswith("--", place):
            end = text.find("\n", place)
            if end < 0:
                return Scan(tuple(ends), "--", place)
            place = end + 1
        elif text.startswith("/*", place):
            end = _end_of_comment(text, place)
            if end < 0:
                return Scan(tuple(ends), "/*", place)
            place = end
        elif mark == "$" and (tag := _DOLLAR.match(text, place)):
            end = text.find(tag[0], tag.end())
            if end < 0:
                return Scan(tuple(ends), "$", place)
            place = end + len(tag[0])
        else:
            place += 1
            if mark == ";":
                ends.append(place)
    return Scan(tuple(ends), "", len(text))


def _end_of_quoted(text: str, start: int) -> int:
    """Behind the closing quote of what opens at ``start``; a doubled quote is one inside it."""
    quote = text[start]
    # E'...' has backslashes that escape
    escapes = re.search(r"(?<!\w)[eE]$", text[:start][-2:]) is not None and quote == "'"
    place = start + 1
    while place < len(text):
        if escapes and text[place] == "\\":
            place += 2
        elif text[place] != quote:
            place += 1
        elif text.startswith(quote * 2, place):
            place += 2
        else:
            return place + 1
    return -1


def _end_of_comment(text: str, start: int) -> int:
    """Behind the mark that ends the comment which opens at ``start``; comments nest."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", text[start:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return start + mark.end()
    return -1


def bare(text: str) -> str:
    """SQL without its comments; strings stay."""
    parts = []
    place = 0
    while place < len(text):
        if text[place] in "'\"":
            end = _end_of_quoted(text, place)
            end = len(text) if end < 0 else end
            parts.append(text[place:end])
        elif text.startswith("--", place):
            end = text.find("\n", place)
            end = len(text) if end < 0 else end
        elif text.startswith("/*", place):
            end = _end_of_comment(text, place)
            end = len(text) if end < 0 else end
            parts.append(" ")
        else:
            end = place + 1
            parts.append(text[place])
        place = end
    return "".join(parts)


def is_sql(text: str) -> bool:
    """Whether a text begins as SQL does, comments aside."""
    first = _FIRST_WORD.match(bare(text))
    if first is None:
        return text.lstrip().startswith("/*")  # the rest is still to come
    return first[1] == "(" or first[1].lower() in SQL_WORDS


def is_complete(text: str) -> bool:
    """Whether there is nothing to wait for: SQL waits for its semicolon, a command for nothing."""
    if not is_sql(text):
        return True
    found = scan(text)
    if found.inside not in {"", "--"}:
        return False
    return bool(found.ends) and not _statement(text[found.ends[-1] :])


def statements(text: str) -> list[tuple[int, str]]:
    """The statements of an SQL text, each with the number of its first line, from 0."""
    parts = []
    start = 0
    for end in (*scan(text).ends, len(text)):
        part = text[start:end]
        bare = _statement(part)
        if bare:
            lead = len(part) - len(part.lstrip())
            parts.append((text.count("\n", 0, start + lead), part.strip()))
        start = end
    return parts


def _statement(text: str) -> str:
    """What is left without comments, blanks and semicolons."""
    return bare(text).strip(" \t\r\n;")


@dataclass(frozen=True, slots=True)
class Words:
    """A command line up to the cursor: the finished words, and the one that is being written.

    ``quote`` is the quote that the unfinished word was opened with, ``start`` where it begins in the
    text, its quote included.
    """

    finished: tuple[str, ...]
    unfinished: str
    quote: str
    start: int


def words(text: str) -> Words:
    """Split a command line as a shell does, an open quote allowed."""
    finished: list[str] = []
    current: list[str] = []
    quote, start, open_word = "", len(text), False
    place = 0
    while place < len(text):
        mark = text[place]
        if not open_word and not mark.isspace():
            open_word, start, current = True, place, []
        if quote:
            if mark == "\\" and quote == '"' and text[place + 1 : place + 2] in {'"', "\\"}:
                place += 1
                current.append(text[place])
            elif mark == quote:
                quote = ""
            else:
                current.append(mark)
        elif mark in "'\"":
            quote = mark
        elif mark == "\\" and place + 1 < len(text):
            place += 1
            current.append(text[place])
        elif mark.isspace():
            if open_word:
                finished.append("".join(current))
                open_word, start = False, len(text)
        else:
            current.append(mark)
        place += 1
    if not open_word:
        current, start = [], len(text)
    return Words(tuple(finished), "".join(current), quote, start)
