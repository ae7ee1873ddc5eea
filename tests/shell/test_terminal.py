"""The shell in a real terminal: keys, history, Ctrl-C, sizes, pager and editor."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pexpect
import psutil
import pytest

SCRIPT = Path(sys.executable).parent / "classrel"
ASKING, DONE = "\x1b[?2004h", "\x1b[?2004l"  # what prompt_toolkit sends around each line
SETTLED = {"COLUMNS", "LINES", "CLASSREL_DB", "CLASSREL_QUERIES", "LC_ALL", "LESS"}
LONG = "SELECT count(*) FROM pairs a, pairs b WHERE a.cosine < b.cosine;"

UP, TAB, ENTER, CTRL_C, CTRL_D, CTRL_R, CTRL_U = (
    "\x1b[A",
    "\t",
    "\r",
    "\x03",
    "\x04",
    "\x12",
    "\x15",
)
_STEERING = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][A-Z0-9]|[=>78])")


class Terminal:
    """A shell in a pseudo-terminal: what was sent to it since the last key, without colours."""

    def __init__(self, db, folder, size=(40, 100), options=(), **environment):
        self.history = folder / "history"
        self.child = pexpect.spawn(
            str(SCRIPT),
            ["shell", "--db", str(db), *options],
            dimensions=size,
            encoding="utf-8",
            timeout=30,
            env={
                **{name: value for name, value in os.environ.items() if name not in SETTLED},
                "TERM": "xterm",
                "LANG": "C.UTF-8",
                "PAGER": "cat",
                "CLASSREL_HISTORY": str(self.history),
                **environment,
            },
        )
        self.child.delaybeforesend = None
        self._sent = ""

    def send(self, keys):
        self._sent = ""
        self.child.send(keys)

    @property
    def shown(self):
        return _STEERING.sub("", self._sent).replace("\r", "")

    def wait_for(self, *texts, seconds=20):
        """What was shown since the last key, when all of ``texts`` are in it."""
        return self._wait(lambda: all(text in self.shown for text in texts), texts, seconds)

    def wait_for_prompt(self, seconds=40):
        """The same, when keys are taken again."""
        return self._wait(
            lambda: self._sent.rfind(ASKING) > self._sent.rfind(DONE), "the prompt", seconds
        )

    def _wait(self, is_so, what, seconds):
        until = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < until, (what, self.shown)
            try:
                more = self.child.read_nonblocking(1 << 16, timeout=0.05)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                assert is_so(), (what, self.shown)
                break
            self._sent += more
            for _ in range(more.count("\x1b[6n")):  # where is the cursor?
                self.child.send("\x1b[1;1R")
        return self.shown

    def do(self, line, *texts):
        """Run a line; what was shown, with ``texts`` in it, when the next may be typed."""
        self.send(line + ENTER)
        self._wait(lambda: DONE in self._sent, "the line's end", 20)
        shown = self.wait_for_prompt()
        for text in texts:
            assert text in shown, (text, shown)
        return shown

    def resize(self, rows, columns):
        self._sent = ""
        self.child.setwinsize(rows, columns)
        self._wait(lambda: ASKING in self._sent, "the prompt in its new size", 10)

    def leave(self):
        """Ctrl-D; the exit code."""
        self.child.send(CTRL_D)
        return self.gone()

    def gone(self):
        """Wait until the shell has ended; the exit code."""
        self.child.expect(pexpect.EOF)
        self.child.wait()
        assert self.child.signalstatus is None, (self.child.signalstatus, self.child.before)
        return self.child.exitstatus


@pytest.fixture
def terminal(database, tmp_path):
    """Start shells on the real heads, and end them."""
    started = []

    def start(db=database, **options):
        started.append(Terminal(db, tmp_path, **options))
        started[-1].wait_for_prompt()
        return started[-1]

    yield start
    for each in started:
        each.child.close(force=True)


def until_computing(child, seconds=1.0):
    """Wait until a child has used the processor for so long."""
    process = psutil.Process(child.pid)
    begun = process.cpu_times().user
    until = time.monotonic() + 30
    while process.cpu_times().user - begun < seconds:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_session(terminal):
    shell = terminal()
    shell.do("similar 'Dungeness crab' -k 2 -m efficientnet_lite0", "Dungeness crab in efficientnet_lite0",
             "king crab")  # fmt: skip
    shell.do("nosuch", 'error: no command "nosuch"')
    shell.do("SELECT 40 + 2 AS answer;", "answer", "42")
    assert shell.leave() == 0


def test_ctrl_d_leaves_with_0_after_an_error_too(terminal):
    shell = terminal()
    shell.do("nosuch", "error: no command")
    assert shell.leave() == 0


def test_tab_completes_a_label_with_its_quotes(terminal):
    shell = terminal()
    shell.send("similar dunge")
    shell.wait_for("similar dunge")
    shell.send(TAB)
    shell.wait_for("'Dungeness crab'")
    shell.do(" -k 1 -m efficientnet_lite0", "Dungeness crab in efficientnet_lite0", "king crab")
    assert shell.leave() == 0


def test_tab_completes_in_sql(terminal):
    shell = terminal()
    shell.send("SELECT rank FROM neighbors('efficientnet_lite0', 'jack-")
    shell.wait_for("jack-")
    shell.send(TAB)
    shell.wait_for("'jack-o''-lantern'")
    shell.do(", k := 1);", " rank \n", "    1 \n")


def test_sql_goes_over_several_lines(terminal):
    shell = terminal()
    shell.send("SELECT 40" + ENTER)
    shell.wait_for("...>")
    shell.send("+ 2 AS answer" + ENTER)
    shell.do(";", "answer", "42")
    assert shell.leave() == 0


def test_the_history_lasts_from_one_shell_to_the_next(terminal):
    first = terminal()
    first.do("SELECT 40 + 2 AS answer;", "42")
    first.do("models", "efficientnet_lite2")
    assert first.leave() == 0
    second = terminal()
    second.send(UP)
    second.wait_for("models")
    second.send(UP)
    second.wait_for("SELECT 40 + 2 AS answer;")
    second.do("", "42")
    assert second.leave() == 0


def test_the_history_is_searched(terminal):
    first = terminal()
    first.do("SELECT 40 + 2 AS answer;", "42")
    first.do("models", "efficientnet_lite2")
    first.leave()
    second = terminal()
    second.send(CTRL_R)
    second.send("40 +")
    second.wait_for("SELECT 40 + 2 AS answer;")


def test_enter_takes_what_the_search_has_found(terminal):
    shell = terminal()
    shell.do("SELECT 40 + 2 AS answer;", "42")
    shell.do("models", "efficientnet_lite2")
    shell.send(CTRL_R)
    shell.send("40 +")
    shell.wait_for("SELECT 40 + 2 AS answer;")
    shell.send(ENTER + ENTER)
    shell.wait_for("answer \n", seconds=4)


def test_ctrl_c_ends_a_long_query_and_the_shell_goes_on(terminal):
    shell = terminal()
    shell.do("CREATE TEMP TABLE mine AS SELECT 40 + 2 AS n;")
    shell.send(LONG + ENTER)
    until_computing(shell.child)
    shell.send(CTRL_C)
    assert "interrupted" in shell.wait_for_prompt(seconds=20)
    shell.do("FROM mine;", "42")
    shell.do("similar tench -k 1 -m efficientnet_lite0", "barracouta")
    assert shell.leave() == 0


def test_ctrl_c_clears_a_line_and_ends_a_watch(terminal):
    shell = terminal()
    shell.send("nosuch")
    shell.wait_for("nosuch")
    shell.send(CTRL_C)
    shell.wait_for_prompt()
    shell.send("\\watch 0.2 SELECT 40 + 2 AS answer;" + ENTER)
    shell.wait_for("Ctrl-C ends it", "42")
    shell.send(CTRL_C)
    shell.wait_for_prompt()
    shell.do("SELECT 1 + 6 AS answer;", "7")
    assert shell.leave() == 0


def test_leaving_with_a_word(terminal):
    shell = terminal()
    shell.do("nosuch", "error: no command")
    shell.send("exit" + ENTER)
    assert shell.gone() == 0


def table_in(shown):
    return shown[shown.index("tench in 3 models") : shown.rindex(">")]


def widest(shown):
    return max(len(line) for line in shown.split("\n"))


def test_a_terminal_that_is_resized_gets_a_result_of_its_size(terminal):
    shell = terminal(size=(40, 120))
    assert widest(table_in(shell.do("similar tench -k 3", "efficientnet_lite2", "barracouta"))) > 70
    shell.resize(40, 70)
    assert (
        widest(table_in(shell.do("similar tench -k 3", "efficientnet_lite2", "barracouta"))) <= 70
    )
    shell.resize(40, 120)
    assert widest(table_in(shell.do("similar tench -k 3", "efficientnet_lite2", "barracouta"))) > 70
    assert shell.leave() == 0


def test_a_terminal_of_20_columns(terminal):
    shell = terminal(size=(30, 20))
    shell.do(
        "similar tench -k 2 -m efficientnet_lite0",
        "tench in efficientnet_lite0",
        "barracouta",
        "0.3355",
    )
    shell.do("SELECT 40 + 2 AS n;", "42")
    assert shell.leave() == 0


def test_a_result_of_200_columns(terminal, tmp_path):
    columns = ", ".join(f"{number} AS column_{number}" for number in range(200))
    (tmp_path / "wide.sql").write_text(f"SELECT {columns};\n")
    shell = terminal()
    shown = shell.do(f"\\read {tmp_path}/wide.sql", "column_0", "column_199", "199")
    assert "Traceback" not in shown
    shell.do("SELECT 40 + 2 AS answer;", "42")
    assert shell.leave() == 0


def test_a_long_result_goes_through_the_pager(terminal, tmp_path):
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\necho PAGED\nexec tee '{tmp_path}/paged'\n")
    pager.chmod(0o755)
    shell = terminal(PAGER=str(pager), size=(24, 80))
    assert "PAGED" not in shell.do("FROM range(5);", "4")
    shell.do("SELECT 'row ' || i AS x FROM range(500) AS t(i);", "PAGED", "row 499")
    paged = _STEERING.sub("", (tmp_path / "paged").read_text())
    assert paged.count("row ") == 500
    shell.do("SELECT 'row ' || i AS x FROM range(1500) AS t(i);", "row 999", "the first 1,000 rows")
    assert "row 1000" not in shell.shown
    assert shell.leave() == 0


@pytest.mark.parametrize("pager", ["/nowhere/pager", "false"])
def test_a_pager_that_fails_does_not_end_the_shell(terminal, pager):
    shell = terminal(PAGER=pager, size=(24, 80))
    shell.do("FROM range(500);")
    shell.do("SELECT 40 + 2 AS answer;", "42")
    assert shell.leave() == 0


def test_an_editor_writes_the_statement(terminal, tmp_path):
    editor = tmp_path / "editor"
    editor.write_text(
        f"#!/bin/sh\ncp \"$1\" '{tmp_path}/begun'\necho 'SELECT 40 + 2 AS answer;' > \"$1\"\n"
    )
    editor.chmod(0o755)
    shell = terminal(EDITOR=str(editor), VISUAL=str(editor))
    shell.do("SELECT 1 + 1 AS first;", "2")
    shell.do("\\e")
    shell.wait_for("SELECT 40 + 2 AS answer;")
    shell.do("", "\n     42")
    assert (tmp_path / "begun").read_text().strip() == "SELECT 1 + 1 AS first;"
    assert shell.leave() == 0


@pytest.mark.parametrize("editor", ["/nowhere/editor", "false"])
def test_an_editor_that_fails_does_not_end_the_shell(terminal, editor):
    shell = terminal(EDITOR=editor, VISUAL=editor)
    shell.do("\\e SELECT 1", "error: the editor")
    shell.send(CTRL_U)
    shell.do("SELECT 40 + 2 AS answer;", "42")
    assert shell.leave() == 0


def test_labels_with_emoji_and_wide_letters(terminal, stored):
    labels = ["🦀 crab", "سرطان", "日本語のラベル", "plain", "e\u0301clair"]
    path = stored(labels=labels, n_classes=5)
    shell = terminal(db=path)
    shell.do("similar '🦀 crab' -k 4", "🦀 crab in small", "plain", "日本語のラベル")
    shell.send("similar 日本")
    shell.send(TAB)
    shell.wait_for("日本語のラベル")
    shell.do(" -k 1", "日本語のラベル in small")
    assert shell.leave() == 0


def test_a_history_that_can_not_be_used_is_told_and_does_without(database, tmp_path):
    (tmp_path / "history").mkdir()
    shell = Terminal(database, tmp_path)
    shell.wait_for_prompt()
    shell.wait_for("the history", "can't be used", "CLASSREL_HISTORY")
    shell.do("SELECT 40 + 2 AS answer;", "42")
    shell.send(UP)
    shell.wait_for("SELECT 40 + 2 AS answer;")
    shell.send(CTRL_C)
    assert shell.leave() == 0
    assert list((tmp_path / "history").iterdir()) == []


def test_a_shell_without_a_database_says_how_to_make_one(tmp_path, make_head):
    head = make_head()
    shell = Terminal(tmp_path / "new.duckdb", tmp_path)
    shell.wait_for_prompt()
    shell.wait_for("no database at", "`ingest efficientnet_lite0` makes one")
    shell.do("models", "error: no database at")
    assert not (tmp_path / "new.duckdb").exists()
    shell.do(f"ingest {head.path} --labels {head.labels_path}", "small: added, 12 classes × 6")
    shell.do("SELECT name FROM models;", "small")
    assert shell.leave() == 0


def test_the_bar_says_where_one_is_and_timing_is_told(terminal):
    shell = terminal()
    shell.wait_for("all models")
    shell.do("use efficientnet_lite1", "model efficientnet_lite1")
    shell.wait_for("efficientnet_lite1>", "│ efficientnet_lite1 │ 3 stored")
    shell.do("\\timing on", "timing is on")
    assert re.search(r"42\s+\d+\.\d ms", shell.do("SELECT 40 + 2 AS answer;", "42", " ms"))
