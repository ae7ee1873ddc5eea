"""Commands that run in this process, which spares each the start of another."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import termios
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, TextIO
from unittest import mock

from classrel_db.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """What a command writes into pipes, and its exit code."""
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    code = _code_of(arguments, output, errors, {})
    texts = []
    for pipe in (output, errors):
        pipe.seek(0)
        texts.append(pipe.read())
    return subprocess.CompletedProcess(["classrel", *map(str, arguments)], code, *texts)


def on_a_terminal(
    *arguments: object, columns: int = 80, env: Mapping[str, str] | None = None
) -> tuple[str, int]:
    """What a command sends to a terminal of 40 lines, colours and all, and its exit code."""
    environment = {"TERM": "xterm-256color", "COLUMNS": str(columns), **(env or {})}
    with _terminal(columns) as (terminal, sent):
        code = _code_of(arguments, terminal, terminal, environment)
    return b"".join(sent).decode(), code


def _code_of(
    arguments: tuple[object, ...], output: TextIO, errors: TextIO, added: Mapping[str, str]
) -> int:
    environment = {n: v for n, v in os.environ.items() if n not in {"CLASSREL_DB", "NO_COLOR"}}
    code: object = 0
    with (
        mock.patch.dict(os.environ, {**environment, **added}, clear=True),
        mock.patch.object(sys, "argv", ["classrel", *map(str, arguments)]),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code or 0
    return int(str(code))


@contextmanager
def _terminal(columns: int) -> Iterator[tuple[TextIO, list[bytes]]]:
    """A terminal to write to, and what it has been sent once it is closed."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    sent: list[bytes] = []
    reading = threading.Thread(target=_read, args=(ours, sent))
    reading.start()
    try:
        with open(theirs, "w", encoding="utf-8") as terminal:
            yield terminal, sent
    finally:
        reading.join()
        os.close(ours)


def _read(terminal: int, sent: list[bytes]) -> None:
    while True:
        try:
            text = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other side is closed
            return
        if not text:
            return
        sent.append(text)
