"""The command line: parse, call the catalog, render. No mathematics, no SQL text.

Nothing heavy is imported before a command runs, so that ``--help`` and completion are instant.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from classrel_db.cli import agree, ask, export, heads, plot, report, taxonomies, trees
from classrel_db.cli.desk import DATABASE, FILE, Desk
from classrel_db.errors import ClassrelError
from classrel_db.records import INTERRUPTED
from classrel_db.version import __version__

if TYPE_CHECKING:
    from pathlib import Path


def main() -> None:
    """Run the command line; an expected error is one line on standard error and exit code 1."""
    from classrel_db.storage.interrupt import interruptible, is_interruption

    try:
        with interruptible():
            code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except ClassrelError as error:
        code = _failed(str(error))
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except OSError as error:
        # a broken pipe is a reader who has had enough
        code = 1 if isinstance(error, BrokenPipeError) else _failed(f"can't go on: {error}")
        if sys.stdout is not None:  # or Python would complain when it flushes at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        # a relation is read while it is rendered, past the storage layer's own translation
        if is_interruption(error):
            code = INTERRUPTED
        elif type(error).__module__.split(".")[0] in {"duckdb", "_duckdb"}:
            from classrel_db.storage.database import said

            # what a macro says of its arguments is meant for the user as it is
            code = _failed(said(error).removeprefix("Invalid Input Error: "))
        else:
            raise
    sys.exit(code)


def _failed(message: str) -> int:
    from classrel_db.text import printable_lines

    click.echo(f"error: {printable_lines(message)}", err=True)
    return 1


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: classrel ingest efficientnet_lite0, then classrel similar 'Dungeness crab'",
)
@click.option(
    "--db",
    type=DATABASE,
    envvar="CLASSREL_DB",
    show_envvar=True,
    help="The database file, or the folder or address of a lake.",
)
@click.option(
    "--queries",
    type=FILE,
    envvar="CLASSREL_QUERIES",
    show_envvar=True,
    help="A folder of named queries of your own, beside those of `classrel query`.",
)
@click.version_option(__version__, prog_name="classrel", message="%(prog)s %(version)s")
@click.pass_context
def app(context: click.Context, db: Path | str | None, queries: Path | None) -> None:
    """Embedding database for classification heads: which classes does a network see as alike?"""
    if context.obj is None:
        context.obj = Desk(db, queries)


for _module in (heads, ask, agree, trees, taxonomies, export, report, plot):
    _commands = [each for each in vars(_module).values() if isinstance(each, click.Command)]
    _inner = [
        each
        for group in _commands
        if isinstance(group, click.Group)
        for each in group.commands.values()
    ]
    for _command in _commands:
        if _command not in _inner:
            app.add_command(_command)


if __name__ == "__main__":
    main()
