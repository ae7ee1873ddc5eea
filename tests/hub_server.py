"""A Hugging Face Hub on loopback, under the true paths and with the true headers.

    with hub(folder) as running:
        running.add("owner/name", {"config.json": b"{}", "model.safetensors": path})
        ... running.cdn.sent("/owner/name/model.safetensors") ...

Small files come at once, those given by a path by a redirect to another host, as from the Hub's CDN.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from huggingface_hub import constants

from tests.server import Request, Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Hub:
    """``files`` by repository and name; ``failing`` by repository: a status and the Hub's error code."""

    server: Server
    cdn: Server
    files: dict[str, dict[str, bytes | None]] = field(default_factory=dict)
    failing: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, repository: str, files: dict[str, bytes | Path]) -> None:
        for name, content in files.items():
            if isinstance(content, bytes):
                self.files.setdefault(repository, {})[name] = content
            else:
                place = self.cdn.folder / repository / name
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(content, place)
                self.files.setdefault(repository, {})[name] = None

    def use(self, patch: pytest.MonkeyPatch, cache: Path) -> None:
        """Let huggingface_hub take this for the Hub, and ``cache`` for its cache."""
        template = self.server.address + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "ENDPOINT", self.server.address)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            patch.delenv(name, raising=False)

    def answer(self, request: Request) -> Answer:
        repository, _, rest = request.path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        if repository in self.failing:
            status, code = self.failing[repository]
            return status, {"X-Error-Code": code} if code else {}, b"no"
        if repository not in self.files:
            return 401, {"X-Error-Code": "RepoNotFound"}, b"no"
        if revision not in {"main", "v1", COMMIT}:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"no"
        known = {"X-Repo-Commit": COMMIT}
        if name not in self.files[repository]:
            return 404, {"X-Error-Code": "EntryNotFound", **known}, b"no"
        content = self.files[repository][name]
        if content is not None:
            return 200, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', **known}, content
        path = f"{repository}/{name}"
        linked = {
            "Location": f"{self.cdn.url(path)}?Signature=secret",
            "X-Linked-Size": str((self.cdn.folder / path).stat().st_size),
            "X-Linked-ETag": f'"{hashlib.sha256(path.encode()).hexdigest()}"',
        }
        return 302, {**linked, **known}, b""


@contextmanager
def hub(folder: Path) -> Iterator[Hub]:
    """Run one until the block ends; its files are linked into ``folder``."""
    folder.mkdir()
    with serving(folder) as server, serving(folder) as cdn:
        cdn.address = cdn.address.replace("127.0.0.1", "localhost")  # another host
        running = Hub(server, cdn)
        server.answers["/"] = running.answer
        yield running
