"""Bytes that `sources.load` reads of a CHECKPOINT, as JSON; TINY, of its format, is loaded first.

The first load imports what reading needs, whose code would count as bytes read.
"""

import json
import sys
from pathlib import Path

import torch  # noqa: F401

from classrel_db import sources
from classrel_db.records import LoadOptions


def bytes_so_far() -> int:
    """What this process asked of read(), from files and all else, page cache or not."""
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text("ascii").splitlines())
    return int(facts["rchar"])


def load(path: str):
    return sources.load(sources.locate(path), LoadOptions(labels="imagenet1k"))


checkpoint, tiny = sys.argv[1:]
load(tiny)
own_cost = -bytes_so_far() + bytes_so_far()
before = bytes_so_far()
head = load(checkpoint)
system = bytes_so_far() - before - own_cost
mapped = checkpoint in Path("/proc/self/maps").read_text("utf-8")
assert not mapped, "the checkpoint is mapped: rchar would not count it"
print(
    json.dumps(
        {
            "system": system,
            "counted": head.bytes_read,
            "head": head.weight.nbytes + head.bias.nbytes,
        }
    )
)
