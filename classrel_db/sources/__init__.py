"""Where heads come from: locate what a user named, then load its head and nothing else.

    located = locate("torchvision:resnet50@IMAGENET1K_V2")
    head = load(located)

torch and torchvision are imported by the functions that need them: a ``.safetensors`` or ``.npz``
head loads without either.
"""

from classrel_db.sources.protocol import Located, ReadProgress, Source, UnchangedHead
from classrel_db.sources.registry import all_sources, describe, expand, load, locate, look, zoo

__all__ = [
    "Located",
    "ReadProgress",
    "Source",
    "UnchangedHead",
    "all_sources",
    "describe",
    "expand",
    "load",
    "locate",
    "look",
    "zoo",
]
