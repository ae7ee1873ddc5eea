"""What the shell says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from classrel_db.errors import ArgumentError
from classrel_db.spelling import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classrel_db.records import NamedQuery

_BACKSLASH = {
    "\\d [NAME]": "the tables and views, or the columns of one",
    "\\dm [NAME]": "the named queries (macros), or the text of one",
    "use MODEL": "ask this model where none is named; in SQL it is getvariable('model'); use * for all",
    "\\format [FORMAT]": "how rows are written from now on",
    "\\o [FILE]": "write results to a file; without FILE to the terminal again",
    "\\last [FORMAT] [FILE]": "the last result again, as in \\last csv out.csv",
    "\\timing [on|off]": "say how long each line took",
    "\\explain [SQL]": "how DuckDB runs a statement, or the last one",
    "\\watch [SECONDS] [SQL]": "run a statement, or the last one, again and again until Ctrl-C",
    "\\e [SQL]": "write a statement in your editor ($EDITOR), beginning with the last one",
    "\\read FILE": "run the lines of a file, up to the first error",
    "\\help [TOPIC]": "this, or a command, a query, `sql` or `keys`",
    "\\q": "leave (also exit, Ctrl-D)",
}
_SQL = """\
A line that begins with an SQL word is SQL; it may go over several lines and ends with a semicolon.

tables   models, classes, weights, pairs, neighbors
views    pairwise, nearest, class_weights: the same with names instead of numbers (\\d NAME)
macros   the named queries: FROM neighbors('resnet50', 'tench', k := 5); (\\dm lists them)

The database is only read. TEMP tables, views and macros are yours until the next ingest.
"""
_KEYS = """\
Tab          complete: commands, options, models, class labels, tables, columns, macros
Ctrl-R       search the history; the right arrow takes the suggestion from it
Enter        run; in SQL without a semicolon, a new line (Alt-Enter: a new line anywhere)
Ctrl-C       end a running query, or clear the line
Ctrl-D       leave
"""


def text(
    topic: str,
    app: click.Group,
    commands: Mapping[str, click.Command],
    queries: Mapping[str, NamedQuery],
) -> str:
    """The help on a topic, or the overview. Raises ArgumentError for what is none."""
    if not topic:
        return _overview(commands)
    topics = {"sql": _SQL, "keys": _KEYS}
    if topic in topics:
        return topics[topic]
    name, _, inner = topic.partition(" ")
    command = commands.get(name)
    if inner:
        command = getattr(command, "commands", {}).get(inner.strip())
    if command is not None:
        with click.Context(app, info_name="", color=False) as parent:
            return command.get_help(click.Context(command, info_name=topic, parent=parent)) + "\n"
    if topic in queries:
        return queries[topic].text
    for usage, said in _BACKSLASH.items():
        if usage.split()[0].lstrip("\\") == topic.lstrip("\\"):
            return f"{usage}  {said}\n"
    known = [*topics, *commands, *queries]
    raise ArgumentError(f"no help on {quoted(topic)}{did_you_mean(topic, known)}; try \\help alone")


def _overview(commands: Mapping[str, click.Command]) -> str:
    lines = ["Commands, as on the command line (\\help COMMAND says more):"]
    lines += [f"  {name:<10} {each.get_short_help_str(100)}" for name, each in commands.items()]
    lines += ["", "SQL that ends in a semicolon (\\help sql); keys: \\help keys", "", "And:"]
    width = max(map(len, _BACKSLASH))
    lines += [f"  {usage:<{width}}  {said}" for usage, said in _BACKSLASH.items()]
    return "\n".join(lines) + "\n"
