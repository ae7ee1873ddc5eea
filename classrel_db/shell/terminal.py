"""The shell's terminal: prompt_toolkit for the line, rich for what is shown, a pager for the long."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.filters import is_searching
from prompt_toolkit.formatted_text import HTML
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.lexers import DynamicLexer
from rich.cells import cell_len

from classrel_db.errors import ClassrelError
from classrel_db.records import INTERRUPTED
from classrel_db.shell.completion import Names, complete, warm
from classrel_db.shell.session import (
    Result,
    Session,
    database_message,
    history_path,
    is_databases,
    missing,
    script,
)
from classrel_db.shell.text import is_complete
from classrel_db.storage.interrupt import interruptible, is_interruption
from classrel_db.text import printable, printable_lines
from classrel_db.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding import KeyPressEvent
    from prompt_toolkit.lexers import Lexer

    from classrel_db.catalog import Catalog
    from classrel_db.records import Answer


def run(app: click.Group, catalog: Catalog, commands: Sequence[str]) -> int:
    """The shell, from its first line to its last; its exit code.

    With ``commands``, or lines on standard input, it runs those up to the first error.
    """
    if commands:
        session = Session(app, catalog, keep=False)
        return _run_parts(session, [(0, command) for command in commands], "")
    if not sys.stdin.isatty():
        session = Session(app, catalog, keep=False)
        return _run_parts(session, script(sys.stdin.read()), "line ")
    return _Loop(Session(app, catalog)).run()


def _run_parts(session: Session, parts: Iterable[tuple[int, str]], place: str) -> int:
    for number, part in parts:
        text = part
        if not is_complete(text):
            text = f"{text};"  # -c "FROM models" needs no semicolon
        result = session.handle(text)
        if result.then in {"edit", "watch"}:
            result = replace(
                result,
                then="",
                text="",
                code=1,
                error=f"{part.split()[0]} needs a terminal; leave it out",
            )
        result = _present(session, result, paged=False)
        _say(session, result, f"{place}{number}: " if place else "")
        if result.code:
            return result.code
        if result.then == "leave":
            break
    return 0


def _present(session: Session, result: Result, *, paged: bool) -> Result:
    """Write what a line came to, but for its error; the result, with the error of writing if any."""
    for note in result.notes:
        click.echo(printable_lines(note), err=True)
    if result.text and result.then != "edit" and result.then != "watch":
        _page(result.text) if paged else click.echo(result.text, nl=False)
    try:
        for answer in result.answers:
            _write(session, answer, paged=paged)
        sys.stdout.flush()
    except ClassrelError as error:
        return replace(result, error=str(error), code=1)
    except KeyboardInterrupt:
        return replace(result, error="interrupted", code=INTERRUPTED)
    except BrokenPipeError:
        raise
    except Exception as error:
        if is_interruption(error):
            return replace(result, error="interrupted", code=INTERRUPTED)
        if not is_databases(error):
            raise
        return replace(result, error=database_message(error), code=1)
    return result


def _write(session: Session, answer: Answer, *, paged: bool) -> None:
    from classrel_db.render.answers import drawer, emit_answer, is_cut

    def tell(message: str) -> None:
        click.echo(message, err=True)

    output = answer.output or session.output
    chosen = answer.format or session.format
    to_screen = output is None and chosen in {None, "table"} and paged
    if not to_screen:
        emit_answer(
            replace(answer, output=output, format=chosen), spared=session.catalog.path, tell=tell
        )
        return
    screen = _Screen()
    cut = is_cut(answer)
    rows = answer.rows.limit(answer.most) if cut and answer.most is not None else answer.rows
    drawer(answer.drawing)(rows, screen)
    _page(screen.getvalue())
    if cut:
        tell(f"the first {answer.most:,} rows; \\last csv FILE writes all that were kept")


def _say(session: Session, result: Result, place: str = "") -> None:
    """Tell the error of a line, and how long the line took."""
    if result.error:
        click.secho(f"error: {place}{printable_lines(result.error)}", fg="red", err=True)
    if session.timing and result.then == "":
        click.echo(f"{result.seconds * 1e3:,.1f} ms", err=True)


class _Screen(io.StringIO):
    """Text for the terminal that is drawn before it is known whether it needs a pager."""

    encoding = "utf-8"
    scrolls = True  # sideways too: a wide table need not be cut

    def isatty(self) -> bool:
        return True


def _page(text: str) -> None:
    """Write to the terminal, through the user's pager what is longer or wider than it."""
    size = shutil.get_terminal_size()
    plain = [cell_len(click.unstyle(line)) for line in text.splitlines()]
    command = shlex.split(os.environ.get("PAGER") or "less")
    fits = len(plain) < size.lines - 1 and max(plain, default=0) <= size.columns
    if fits or not command or shutil.which(command[0]) is None:
        click.echo(text, nl=False)
        return
    # colours as they are, and long lines to be scrolled, not broken; a user's own wish goes before
    environment = {"LESS": "-RS", **os.environ}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as pager:  # noqa: S603
        with suppress(KeyboardInterrupt, BrokenPipeError):
            pager.communicate(text.encode("utf-8", "replace"))
        while pager.poll() is None:  # Ctrl-C is the pager's own affair
            with suppress(KeyboardInterrupt):
                pager.wait()


class _Loop:
    """Read a line, handle it, present it, until the user leaves."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._names: Names | None = None
        self._lexer: Lexer | None = None
        history, self._trouble = _history()
        self._prompt: PromptSession[str] = PromptSession(
            history=history,
            auto_suggest=AutoSuggestFromHistory(),
            completer=_ShellCompleter(self),
            lexer=DynamicLexer(lambda: self._lexer),
            key_bindings=_keys(),
            bottom_toolbar=self._bar,
            multiline=True,
            prompt_continuation="     ...> ",
            complete_while_typing=True,
        )
        # what the first prompt does not wait for
        self._preparing = threading.Thread(target=self._prepare)
        self._preparing.start()

    def run(self) -> int:
        try:
            return self._run()
        finally:
            # the database must not close under the thread, nor the process end
            self._preparing.join()

    def _run(self) -> int:
        trouble = missing(self.session.catalog)
        click.echo(
            f"classrel {__version__}; \\help says what there is, Tab completes, Ctrl-D leaves"
        )
        for note in (trouble, self._trouble):
            if note:
                click.echo(printable(note), err=True)
        code = 0
        text = ""
        while True:
            try:
                line = self._prompt.prompt(self._marker(), default=text)
            except KeyboardInterrupt:
                text = ""
                continue
            except EOFError:
                return 0
            text = ""
            code, leave, text = self._do(line)
            if leave:
                return code

    def _do(self, line: str) -> tuple[int, bool, str]:
        result = self._asked(line, paged=True)
        self._names = None
        _say(self.session, result)
        if result.then == "edit":
            try:
                edited = click.edit(result.text, extension=".sql")
            except click.ClickException as error:
                click.secho(f"error: the editor: {error.format_message()}", fg="red", err=True)
                return 1, False, ""
            return result.code, False, (edited or result.text).strip()
        if result.then == "watch":
            self._again(result.text, result.pause)
        return result.code, result.then == "leave", ""

    def _asked(self, line: str, *, paged: bool) -> Result:
        try:
            # here, not around the whole shell: the prompt has the signal to itself
            with interruptible():
                return _present(self.session, self.session.handle(line), paged=paged)
        except KeyboardInterrupt:  # Python's own, which comes after the database's
            return Result(error="interrupted", code=INTERRUPTED)

    def _again(self, statement: str, pause: float) -> None:
        try:
            while True:
                click.clear()
                click.echo(f"every {pause:g} s, Ctrl-C ends it: {printable(statement)}")
                result = self._asked(statement, paged=False)
                _say(self.session, result)
                if result.code:
                    return
                time.sleep(pause)
        except KeyboardInterrupt:
            click.echo()

    def names(self) -> Names:
        """The names of the database, anew after each line: any may have changed them."""
        if self._names is None:
            self._names = Names(self.session)
        return self._names

    def _marker(self) -> str:
        return f"{self.session.model or 'classrel'}> "

    def _bar(self) -> HTML:
        session = self.session
        seconds = "" if session.seconds is None else f" │ {_duration(session.seconds)}"
        model = session.model or "all models"
        return HTML(" {} │ {} │ {} stored{}").format(
            session.catalog.path.name, model, _count(self.names()), seconds
        )

    def _prepare(self) -> None:
        from prompt_toolkit.lexers import PygmentsLexer
        from pygments.lexers.sql import SqlLexer

        self._lexer = PygmentsLexer(SqlLexer)
        try:
            warm(self.names())
        except ClassrelError:
            return  # no database yet: nothing to fetch
        except Exception as error:
            if not is_databases(error):  # a line that writes has closed it meanwhile
                raise


class _ShellCompleter(Completer):
    def __init__(self, loop: _Loop) -> None:
        self._loop = loop

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,  # noqa: ARG002 (the base class has it)
    ) -> Iterator[Completion]:
        text = document.text_before_cursor
        try:
            candidates = complete(text, self._loop.names())
        except ClassrelError:
            return  # no database yet: nothing to complete from
        for candidate in candidates[:200]:
            yield Completion(
                candidate.text,
                start_position=candidate.start - len(text),
                display=printable(candidate.display),
                display_meta=printable(candidate.meta),
            )


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter", filter=~is_searching)  # there it takes what was found
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        chosen = buffer.complete_state and buffer.complete_state.current_completion
        if chosen:
            buffer.apply_completion(chosen)
        elif is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    @keys.add("escape", "enter")
    def _newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _history() -> tuple[History, str | None]:
    """The history of earlier shells, or an empty one and why."""
    path = history_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as file:
            file.seek(0)
            file.read()
    except (OSError, UnicodeDecodeError) as error:
        return InMemoryHistory(), (
            f"the history {path} can't be used ({error}); this one is forgotten at the end. "
            "Name another file in CLASSREL_HISTORY"
        )
    return FileHistory(str(path)), None


def _count(names: Names) -> str:
    try:
        return str(len(names.models))
    except ClassrelError:
        return "none"


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"
