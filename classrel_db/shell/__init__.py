"""The interactive shell: the command line's commands and SQL, one question after another."""

from __future__ import annotations

from classrel_db.shell.terminal import run

__all__ = ["run"]
