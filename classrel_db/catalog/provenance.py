"""Where a head came from, as the columns of its model."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from classrel_db.maths.rounding import cosine_error, weight_error
from classrel_db.version import __version__

if TYPE_CHECKING:
    from classrel_db.maths import NormalizedHead
    from classrel_db.records import Head

# the packages that heads are read with
_READERS = (
    "fsspec", "h5py", "huggingface_hub", "numpy", "onnx", "timm", "torch", "torchvision",
)  # fmt: skip


def provenance(head: Head, normalized: NormalizedHead) -> dict[str, Any]:
    """The fields of StoredModel that tell where ``head`` came from and what it was stored as."""
    rounding = head.rounding
    return {
        "revision": head.revision,
        "etag": head.etag,
        "dtype": head.dtype,
        "weight_error": 0.0 if rounding is None else weight_error(normalized, rounding),
        "cosine_error": 0.0 if rounding is None else cosine_error(normalized, rounding),
        "license": head.license,
        "reference": head.reference,
        "versions": _versions(tuple(name for name in _READERS if name in sys.modules)),
    }


@cache
def _versions(loaded: tuple[str, ...]) -> str:
    found = [f"classrel {__version__}"]
    if loaded:
        from importlib.metadata import PackageNotFoundError, version
    for name in loaded:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
