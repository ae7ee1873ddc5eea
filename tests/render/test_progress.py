"""Bars of questions: after a second, on a terminal, and gone when the answer is there."""

from __future__ import annotations

import io
import sys

import pytest

from classrel_db.records import Step
from classrel_db.render import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """What a terminal is sent while a question is at work, by the seconds before a bar."""
    monkeypatch.setenv("TERM", "xterm-256color")

    def answer(patience, stream):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(progress, "_WORTH_A_BAR", patience)
        with progress.answer_display() as tell:
            for done in (100, 200, 300):
                tell(Step("resnet50", "support", done, 300))
        return stream.getvalue()

    return answer


def test_what_takes_long_has_a_bar_that_is_gone_in_the_end(shown):
    sent = shown(-1, Terminal())
    assert "resnet50 support" in sent
    assert "300 of 300 resamples" in sent
    assert sent.rstrip().endswith("\x1b[2K")


def test_what_is_quick_or_goes_to_no_terminal_has_none(shown):
    assert shown(60, Terminal()) == ""
    assert shown(-1, io.StringIO()) == ""
