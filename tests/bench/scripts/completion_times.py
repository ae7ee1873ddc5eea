"""Seconds of the slowest keystroke while lines are typed, and of what the shell fetches before."""

import json
import sys
import time

import classrel_db
from classrel_db.cli import app
from classrel_db.shell.completion import Names, complete, warm
from classrel_db.shell.session import Session

LINES = (
    "similar Dungeness crab",
    "similar dungness crb",
    "FROM neighbors('labels', 'king crab 21999', k := 5)",
    "SELECT class_b, cosine FROM pairwise WHERE class_a = 'hammerhead' AND",
)


def main() -> None:
    with classrel_db.open(sys.argv[1]) as catalog:
        session = Session(app, catalog)
        started = time.perf_counter()
        warm(Names(session))
        warming = time.perf_counter() - started
        slowest = {}
        for line in LINES:
            names = Names(session)  # as after each line that was run
            took = []
            for end in range(1, len(line) + 1):
                started = time.perf_counter()
                complete(line[:end], names)
                took.append(time.perf_counter() - started)
            slowest[line] = max(took)
    print(json.dumps({"warming": warming, "keystrokes": slowest}))


main()
