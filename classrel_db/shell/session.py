"""The shell without its terminal: a line goes in, a :class:`Result` comes out."""

from __future__ import annotations

import io
import os
import shlex
import time
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

import classrel_db
from classrel_db.errors import ArgumentError, ClassrelError, MissingDatabaseError
from classrel_db.records import FORMATS, INTERRUPTED, Answer
from classrel_db.shell import help as topics
from classrel_db.shell.completion import positional
from classrel_db.shell.text import SQL_WORDS, bare, is_complete, is_sql, statements
from classrel_db.spelling import did_you_mean, quoted
from classrel_db.storage.interrupt import is_interruption

if TYPE_CHECKING:
    from collections.abc import Callable

    from classrel_db.catalog import Catalog
    from classrel_db.records import Format

KEPT_ROWS = 100_000  # of a result that stay in memory for \last
DRAWN_ROWS = 1_000  # of a table


@dataclass(frozen=True, slots=True)
class Result:
    """What one line came to.

    ``answers`` have rows to write, ``text`` is for standard output, ``notes`` and ``error`` for standard
    error; ``code`` is an exit code as of the command line. ``then`` says what the terminal is to do:
    leave, let ``text`` be edited, or ask ``text`` again every ``pause`` seconds.
    """

    answers: tuple[Answer, ...] = ()
    text: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    code: int = 0
    seconds: float = 0.0
    then: Literal["", "leave", "edit", "watch"] = ""
    pause: float = 0.0


class Session:
    """One user's shell on one catalog: the current model, the format, the last result.

    ``keep`` holds results in memory for ``\\last``; a script has no use for them.
    """

    def __init__(self, app: click.Group, catalog: Catalog, *, keep: bool = True) -> None:
        self.catalog = catalog
        self.model: str | None = None
        self.format: Format | None = None
        self.output: Path | None = None
        self.timing = False
        self.seconds: float | None = None
        self.last: Answer | None = None
        self.last_cut = False
        self.last_sql: str | None = None
        self.commands = {name: each for name, each in app.commands.items() if name != "shell"}
        self._app = app
        self._keep = keep
        self._notes: list[str] = []
        self._answers: list[Answer] = []
        self._reading: list[Path] = []
        self._backslash: dict[str, Callable[[str], Result]] = {
            "d": self._describe,
            "dm": self._macros,
            "timing": self._timing,
            "format": self._format,
            "o": self._output,
            "e": self._edit,
            "read": self._read,
            "watch": self._watch,
            "explain": self._explain,
            "last": self._last,
            "help": self._help,
            "q": lambda _rest: Result(then="leave"),
        }

    def note(self, message: str) -> None:
        """Something to tell beside the result."""
        self._notes.append(message)

    def take(self, answer: Answer) -> None:
        """One more answer of the line that is being handled."""
        self._answers.append(self._kept(answer))

    @property
    def backslash_commands(self) -> list[str]:
        """Their names, with the backslash."""
        return [f"\\{name}" for name in self._backslash]

    def handle(self, line: str) -> Result:
        """Do what one line (or several, of SQL) says. Errors are in the result, not raised."""
        started = time.perf_counter()
        self._notes, self._answers = [], []
        result = Result()
        try:
            result = self._dispatch(line.strip())
        except click.exceptions.NoArgsIsHelpError as error:
            result = Result(text=f"{error.format_message()}\n", code=error.exit_code)
        except click.ClickException as error:
            result = Result(error=_usage(error), code=error.exit_code)
        except ClassrelError as error:
            result = Result(error=str(error), code=1)
        except (KeyboardInterrupt, click.Abort):
            result = Result(error="interrupted", code=INTERRUPTED)
        except OSError as error:
            result = Result(error=f"can't go on: {error}", code=1)
        except Exception as error:
            if is_interruption(error):
                result = Result(error="interrupted", code=INTERRUPTED)
            elif not is_databases(error):
                raise
            else:
                result = Result(error=database_message(error), code=1)
        seconds = time.perf_counter() - started
        if result.then == "":
            self.seconds = seconds
        # what was answered before an error is shown before it
        return replace(
            result,
            answers=(*result.answers, *self._answers),
            notes=(*result.notes, *self._notes),
            seconds=seconds,
        )

    def _dispatch(self, line: str) -> Result:
        if line.startswith("#") or not bare(line).strip():
            return Result()
        if line.startswith("\\"):
            name, rest = (*line[1:].split(maxsplit=1), "", "")[:2]
            name = name.rstrip(";")
            if name not in self._backslash:
                raise ArgumentError(
                    f"no command {quoted(chr(92) + name)}"
                    f"{did_you_mean(name, list(self._backslash))}; \\help lists them"
                )
            return self._backslash[name](rest.strip().rstrip(";"))
        first = line.split(maxsplit=1)[0].rstrip(";").lower()
        if first in {"exit", "quit", "help"}:
            return self._backslash["help" if first == "help" else "q"](
                line[len(first) :].strip(" ;")
            )
        if first == "use":
            return self._use(line[3:].strip(" ;"))
        if first not in self.commands and is_sql(line):
            if not is_complete(line):
                raise ArgumentError("the statement is not finished: end it with a semicolon")
            return self._sql(line)
        return self._command(line.rstrip(";"))

    # SQL

    def _sql(self, text: str) -> Result:
        if self.model is not None:  # a write has closed the connection that knew it
            self._set_variable(self.model)
        parts = statements(text)
        for _line, statement in parts:
            self.last_sql = statement
            answer = Answer(self.catalog.sql(statement), most=DRAWN_ROWS)
            # a later statement may change what an earlier one reads
            self._answers.append(self._kept(answer, always=len(parts) > 1))
        return Result()

    def _set_variable(self, model: str) -> None:
        escaped = model.replace("'", "''")
        self.catalog.sql(f"SET VARIABLE model = '{escaped}'")

    def _kept(self, answer: Answer, *, always: bool = False) -> Answer:
        """The answer with its rows computed and kept, where the session keeps them."""
        writes = answer.output is not None or self.output is not None
        self.last, self.last_cut = answer, False
        if not always and (not self._keep or writes):
            return answer
        from classrel_db.storage.arrays import kept

        if not self._keep or writes:
            self.last = replace(answer, rows=kept(answer.rows))
            return self.last
        rows = kept(answer.rows.limit(KEPT_ROWS + 1))
        self.last_cut = rows.shape[0] > KEPT_ROWS
        if self.last_cut:
            rows = rows.limit(KEPT_ROWS)
            self._notes.append(
                f"more than {KEPT_ROWS:,} rows: the first of them are kept; \\o FILE before the "
                "statement writes all"
            )
        self.last = replace(answer, rows=rows)
        return self.last

    # the commands of the command line

    def _command(self, line: str) -> Result:
        arguments = _words(line)
        name, *rest = arguments
        if name == "shell":
            raise ArgumentError("this is the shell already")
        if name not in self.commands:
            known = [*self.commands, "use", "help", "exit", *(word.upper() for word in SQL_WORDS)]
            raise ArgumentError(
                f"no command {quoted(name)}{did_you_mean(name, known)}; a command of classrel, SQL that "
                "ends in a semicolon, or \\help"
            )
        said = io.StringIO()
        desk = _Desk(self)
        with redirect_stdout(said):
            self._app.main(
                [name, *self._with_model(name, rest)],
                prog_name="classrel",
                standalone_mode=False,
                obj=desk,
            )
        return Result(text=said.getvalue())

    def _with_model(self, name: str, arguments: list[str]) -> list[str]:
        """The arguments, with the current model where the command asks one and none is named."""
        if self.model is None or {"--help", "-h", "--show"} & set(arguments):
            return arguments
        command = self.commands[name]
        if isinstance(command, click.Group):
            command = command.commands.get(getattr(command, "default", ""), command)
        given = positional(command, arguments)
        unnamed = not any(each.startswith(("-m", "--model")) for each in arguments)
        if name in {"similar", "export"} and unnamed:
            return [*arguments, "--model", self.model]
        if (
            name == "taxonomy"
            and arguments[:1]
            and arguments[0] in {"compare", "match", "surprises"}
        ):
            inner = self.commands[name].commands[arguments[0]]  # type: ignore[attr-defined]
            if not set(positional(inner, arguments[1:])) & set(self.catalog.normalizations()):
                return [arguments[0], self.model, *arguments[1:]]
            return arguments
        if name == "plot" and arguments[:1]:
            inner = self.commands[name].commands.get(arguments[0])  # type: ignore[attr-defined]
            if arguments[0] == "neighbors" and unnamed:
                return [*arguments, "--model", self.model]
            takes = inner is not None and inner.params[0].name == "model"
            if takes and not positional(inner, arguments[1:]):
                return [arguments[0], self.model, *arguments[1:]]
            return arguments
        if name in {"info", "tree", "cluster"} and not given:
            return [self.model, *arguments]
        if name == "classes" and (not given or given[0] not in self.catalog.normalizations()):
            return [self.model, *arguments]
        query = self.catalog.named_queries.get(given[0]) if name == "query" and given else None
        if query is None:
            return arguments
        named = {each.partition("=")[0] for each in given[1:] if "=" in each}
        values = [each for each in given[1:] if each.partition("=")[0] not in named]
        needed = [p.name for p in query.parameters if p.default is None and p.name not in named]
        for parameter in query.parameters:
            # as many values as are needed name the model, too
            missing = parameter.name == "model" and len(values) < len(needed)
            if (missing or parameter.name == "models") and parameter.name not in named:
                return [*arguments, f"{parameter.name}={self.model}"]
        return arguments

    def _use(self, model: str) -> Result:
        if not model or model == "*":
            if self.model is not None:
                self.catalog.sql("RESET VARIABLE model")
            self.model = None
            return Result(notes=("all models",))
        ways = self.catalog.normalizations(" ".join(_words(model)))
        self.model = next(iter(ways))
        self._set_variable(self.model)
        return Result(notes=(f"model {self.model}; `use *` asks all again",))

    # what begins with a backslash

    def _describe(self, name: str) -> Result:
        if not name:
            rows = self.catalog.sql(
                """
                SELECT t.table_name AS name, 'table' AS kind, t.estimated_size AS rows
                FROM duckdb_tables() AS t WHERE NOT t.internal AND t.table_name <> 'classrel'
                UNION ALL
                SELECT v.view_name, 'view', NULL FROM duckdb_views() AS v WHERE NOT v.internal
                ORDER BY kind, name
                """
            )
            return Result((self._kept(Answer(rows)),))
        if name in self.catalog.named_queries:
            return self._macros(name)
        rows = self.catalog.sql(
            """
            SELECT column_name AS "column", data_type AS type FROM duckdb_columns()
            WHERE table_name = $name AND NOT internal ORDER BY column_index
            """,
            {"name": name.strip('"')},
        )
        if not rows.shape[0]:
            known = [*self.catalog.tables(), *self.catalog.named_queries]
            raise ArgumentError(
                f"no table, view or macro {quoted(name)}{did_you_mean(name, known)}"
            )
        return Result((self._kept(Answer(rows)),))

    def _macros(self, name: str) -> Result:
        if name:
            from classrel_db.catalog.questions import named

            return Result(text=named(self.catalog.named_queries, name).text)
        return Result((self._kept(Answer(self.catalog.queries())),))

    def _timing(self, word: str) -> Result:
        if word not in {"", "on", "off"}:
            raise ArgumentError(f"\\timing is on or off, not {quoted(word)}")
        self.timing = not self.timing if not word else word == "on"
        return Result(notes=(f"timing is {'on' if self.timing else 'off'}",))

    def _format(self, word: str) -> Result:
        if not word:
            return Result(
                notes=(f"format is {self.format or 'table'}; there are {', '.join(FORMATS)}",)
            )
        if word not in FORMATS:
            raise ArgumentError(f"no format {quoted(word)}; there are {', '.join(FORMATS)}")
        self.format = None if word == "table" else word
        return Result(notes=(f"format is {word}",))

    def _output(self, name: str) -> Result:
        if not name:
            self.output = None
            return Result(notes=("results go to the terminal",))
        from classrel_db.render.formats import format_of

        path = Path(_words(name)[0]).expanduser()
        format_of(self.format, path)
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise ArgumentError(f"can't write {path}: there is no such folder, or it is one")
        self.output = path
        return Result(
            notes=(f"results go to {path} until \\o; each result replaces the one before",)
        )

    def _edit(self, text: str) -> Result:
        return Result(text=text or self.last_sql or "", then="edit")

    def _watch(self, words: str) -> Result:
        if is_sql(words):
            words = f"2 {words}"
        first, _, rest = words.partition(" ")
        try:
            pause = float(first or 2)
        except ValueError:
            raise ArgumentError(
                f"\\watch takes seconds, such as \\watch 5, not {quoted(first)}"
            ) from None
        if not 0.1 <= pause <= 86_400:
            raise ArgumentError(f"\\watch takes 0.1 to 86,400 seconds, not {first}")
        statement = rest.strip() or self.last_sql
        if not statement:
            raise ArgumentError("nothing to watch yet; run a statement first")
        return Result(text=f"{statement.rstrip(';')};", then="watch", pause=pause)

    def _explain(self, text: str) -> Result:
        statement = text or self.last_sql
        if not statement:
            raise ArgumentError("nothing to explain yet; \\explain SELECT ..., or run one first")
        rows = self.catalog.sql(f"EXPLAIN ANALYZE {statement.rstrip(';')}")
        return Result(text="".join(str(row[1]) for row in rows.fetchall()))

    def _last(self, words: str) -> Result:
        if self.last is None:
            raise ArgumentError("there is no last result yet")
        chosen: Format | None = None
        output: Path | None = None
        for word in _words(words):
            known = next((each for each in FORMATS if each == word), None)
            if known is not None and chosen is None:
                chosen = known
            elif output is None:
                output = Path(word).expanduser()
            else:
                raise ArgumentError(f"\\last takes a format and a file, not {quoted(words)}")
        if self.last_cut and (output is not None or chosen not in {None, "table"}):
            raise ArgumentError(
                f"only the first {KEPT_ROWS:,} rows of the last result were kept; \\o FILE and the "
                "statement again write all"
            )
        return Result((replace(self.last, format=chosen, output=output),))

    def _help(self, topic: str) -> Result:
        return Result(text=topics.text(topic, self._app, self.commands, self.catalog.named_queries))

    def _read(self, name: str) -> Result:
        if not name:
            raise ArgumentError("\\read takes a file")
        path = Path(_words(name)[0]).expanduser()
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(f"can't read {path}: {error}") from error
        if path.resolve() in self._reading:
            raise ArgumentError(f"{path} reads itself; leave that \\read out")
        whole = Result()
        self._reading.append(path.resolve())
        try:
            for number, part in script(text):
                result = self.handle(part)
                whole = replace(
                    result,
                    answers=(*whole.answers, *result.answers),
                    text=whole.text + result.text,
                    notes=(*whole.notes, *result.notes),
                )
                if result.code:
                    whole = replace(whole, error=f"{path}:{number}: {result.error}")
                if result.code or result.then:
                    break
        finally:
            self._reading.pop()
        self._notes, self._answers = [], []
        return whole


class _Desk:
    """Commands in the shell: on the shell's catalog, their answers gathered instead of written."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def catalog(self, db: Path | None) -> AbstractContextManager[Catalog]:
        if db is not None:
            return classrel_db.open(db)
        return nullcontext(self._session.catalog)

    def show(self, catalog: Catalog, answer: Answer) -> None:
        if catalog is not self._session.catalog:  # it closes before the rows are written
            from classrel_db.storage.arrays import kept

            answer = replace(answer, rows=kept(answer.rows))
        self._session.take(answer)

    def draws(self, format: str | None, output: Path | None) -> bool:
        chosen, file = format or self._session.format, output or self._session.output
        return chosen in {None, "table"} and (file is None or file.suffix == ".txt")

    def tell(self, message: str) -> None:
        self._session.note(message)


def _words(text: str) -> list[str]:
    """The words of a line, quotes undone. Raises ArgumentError for a quote that is not closed."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ArgumentError(f"{error} in {quoted(text)}; close the quote") from error


def script(text: str) -> list[tuple[int, str]]:
    """The lines of a script, SQL gathered up to its semicolon, each with its line number, from 1."""
    parts: list[tuple[int, str]] = []
    gathered: list[str] = []
    first = 1
    for number, line in enumerate(text.splitlines(), start=1):
        if not gathered:
            if not line.strip() or line.lstrip().startswith(("#", "--")):
                continue
            first = number
        gathered.append(line)
        if is_complete("\n".join(gathered)):
            parts.append((first, "\n".join(gathered)))
            gathered = []
    if gathered:
        parts.append((first, "\n".join(gathered)))
    return parts


def is_databases(error: Exception) -> bool:
    """Whether DuckDB raised it: rows are computed while they are written."""
    return type(error).__module__.split(".")[0] in {"duckdb", "_duckdb"}


def database_message(error: Exception) -> str:
    """What DuckDB said, without the kind of error where the text is one of our macros' own."""
    from classrel_db.storage.database import said

    return said(error).removeprefix("Invalid Input Error: ")


def missing(catalog: Catalog) -> str | None:
    """What to tell a user who opens the shell on a database that is not there or can't be used."""
    try:
        catalog.normalizations()
    except MissingDatabaseError:
        return f"no database at {catalog.path} yet; `ingest efficientnet_lite0` makes one"
    except ClassrelError as error:
        return str(error)
    return None


def history_path() -> Path:
    """Where the history is kept: $CLASSREL_HISTORY, else in the user's state folder."""
    named = os.environ.get("CLASSREL_HISTORY")
    if named:
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "classrel" / "history"


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    usage = f"{context.get_usage()}\n" if context is not None else ""
    return usage + error.format_message()
