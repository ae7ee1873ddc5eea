"""Files that torch's own hub keeps: in its cache, fetched into it, or read in ranges where they lie."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from classrel_db.errors import HeadError, SourceError
from classrel_db.sources.counted import open_counted
from classrel_db.sources.zoos.packaged import PACKAGES
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from classrel_db.records import Head
    from classrel_db.sources.counted import CountingFile
    from classrel_db.sources.protocol import ReadProgress

# such files' names end in the first digits of their SHA-256; torch.hub reads them so too
_HASH_IN_NAME = re.compile(r"-([a-f0-9]{8,})\.")
_PORTION = 1 << 24  # bytes that are hashed between two looks whether anyone still waits


def read_published(
    url: str,
    read: Callable[[CountingFile, Path], Head],
    progress: ReadProgress | None = None,
    *,
    full: bool = False,
    size: int = 0,
) -> Head:
    """What ``read`` makes of the file at ``url``, from torch's cache where it is there.

    ``full`` fetches it whole into the cache, ``size`` bytes as far as known, and checks the hash in its
    name, also of a file that was there before. Raises SourceError.
    """
    from classrel_db.sources.remote import open_remote

    path = _folder() / file_name(url)
    at_hand = _exists(path)
    if full and at_hand:
        _require_published(path, progress)
    elif full:
        if progress is not None:
            progress(0, size, "download", "")
        _download(url, path)
        at_hand = True
    try:
        return read(open_counted(path, progress) if at_hand else open_remote(url, progress), path)
    except HeadError:
        raise
    except SourceError as error:
        hint = (
            "the file is in torch's cache: delete it, and it is got again"
            if at_hand
            else f"that is torch's file: put it into {path.parent}, and it is read there; "
            f"{', '.join(PACKAGES)} need no network"
        )
        raise SourceError(f"{error} ({hint})") from error


def file_name(url: str) -> str:
    """The name of the file of ``url`` in the cache."""
    return Path(urlsplit(url).path).name


def cached_names() -> AbstractSet[str]:
    """The names of the files in the cache, by one listing."""
    return names_in(_folder())


def names_in(folder: str | Path) -> AbstractSet[str]:
    """The names in ``folder``; none where it is missing or may not be entered."""
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return frozenset()


def _folder() -> Path:
    """Where torch keeps what it fetched: TORCH_HOME is honoured."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder that may not be entered; the download says so
        return False


def _require_published(path: Path, progress: ReadProgress | None) -> None:
    """Raise SourceError for a file in the cache that has not the hash in its name."""
    published = _HASH_IN_NAME.search(path.name)
    if published is None:
        return
    digest = hashlib.sha256()
    with open_counted(path) as file:
        for start in range(0, file.size, _PORTION):
            digest.update(file.read_range(start, min(_PORTION, file.size - start)).data)
            if progress is not None:
                progress(0, 0)
    if not digest.hexdigest().startswith(published[1]):
        raise SourceError(
            f"{quoted(str(path), 300)} is not the file that was published under that name: its SHA-256 "
            f"begins with {digest.hexdigest()[: len(published[1])]}; delete it, and it is got again"
        )


def _download(url: str, path: Path) -> None:
    """Fetch ``url`` with torch's own function, which checks the hash and leaves no partial file."""
    import http.client
    import urllib.error

    import torch

    # what a download raises when the other side can't be reached or breaks off
    unreachable = (urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException)
    hashed = _HASH_IN_NAME.search(path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            url, str(path), hash_prefix=hashed[1] if hashed else None, progress=False
        )
    except unreachable as error:
        raise SourceError(
            f"can't download {url} ({error}); without a network, put that file into {path.parent} "
            f"by hand, or take a model that needs none: {', '.join(PACKAGES)}"
        ) from error
    except RuntimeError as error:
        raise SourceError(
            f"the file from {url} is not the one that was published: {error}; nothing was kept"
        ) from error
    except OSError as error:
        raise SourceError(f"can't keep {url} in torch's cache {path.parent}: {error}") from error
