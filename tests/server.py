"""A file server on loopback that can do what servers do to those who read from them.

    with serving(folder) as server:
        server.faults["/m.safetensors"] = [Fault("status", 503)]
        ... server.url("m.safetensors") ...
        server.sent("/m.safetensors")  # bytes of bodies that went over the wire

Each request for a path takes the next of its faults; when they are used up it is served in order.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import re
import threading
import time
from collections import Counter, defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ALWAYS = 1_000_000  # times a fault comes back


@dataclass(frozen=True)
class Fault:
    """What a server does to one request.

    kind: ``status`` (value: the code), ``cut`` (the connection breaks after value bytes of the body),
    ``no-range`` (all of the file, with status 200), ``wrong-range`` (another range than was asked for),
    ``too-long`` (the right header, value bytes too many in the file's size), ``slow`` (value seconds
    before each portion), ``etag`` (value as the ETag, None for none), ``redirect`` (to value),
    ``no-length`` (chunked, without a length), ``gzip`` (all of the file, compressed), ``endless`` (the
    right header, a body without end; with value all of the file, of a size it does not tell).
    ``headers`` are sent beside, or instead of, the right ones.
    """

    kind: str
    value: Any = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Request:
    """One request as it came: ``range`` is (first, last) or None."""

    method: str
    path: str
    headers: dict[str, str]
    range: tuple[int, int] | None


@dataclass
class Server:
    """What a test sees of the running server."""

    address: str
    folder: Path
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    requests: list[Request] = field(default_factory=list)
    bodies: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Callable[[Request], tuple[int, dict[str, str], bytes] | None]] = field(
        default_factory=dict
    )
    """By the beginning of a path: what answers instead of the folder; None is a file after all."""

    def url(self, path: str) -> str:
        return f"{self.address}/{path.lstrip('/')}"

    def sent(self, path: str | None = None) -> int:
        return self.bodies.total() if path is None else self.bodies[path]


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve ``folder`` on a free port of 127.0.0.1 until the block ends."""
    with _Running(("127.0.0.1", 0), _Handler) as running:
        server = Server(f"http://127.0.0.1:{running.server_port}", folder)
        running.told = server  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            running.shutdown()
            thread.join()


class _Running(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """Whoever asked has gone away: that is what some tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        told: Server = self.server.told
        path = unquote(urlsplit(self.path).path)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        wanted = (int(asked[1]), int(asked[2])) if asked else None
        request = Request(self.command, path, dict(self.headers.items()), wanted)
        told.requests.append(request)
        fault = told.faults[path].pop(0) if told.faults[path] else Fault("none")
        if fault.kind in {"status", "redirect"}:
            code = fault.value if fault.kind == "status" else 302
            moved = {"Location": fault.value} if fault.kind == "redirect" else {}
            self._send(path, code, {**moved, **dict(fault.headers)}, b"no" if body else b"")
            return
        for prefix, answer in told.answers.items():
            found = answer(request) if path.startswith(prefix) else None
            if found is not None:
                code, headers, content = found
                self._send(path, code, headers, content, body=body)
                return
        file = told.folder / path.lstrip("/")
        if not file.is_file():
            self._send(path, 404, {}, b"no such file" if body else b"")
            return
        self._file(path, file, wanted, fault, body=body)

    def _file(
        self, path: str, file: Path, wanted: tuple[int, int] | None, fault: Fault, *, body: bool
    ) -> None:
        size = file.stat().st_size
        known = f"{file.stat().st_mtime_ns}-{size}".encode()
        headers = {"ETag": f'"{hashlib.sha1(known).hexdigest()}"'}
        if fault.kind == "etag":
            headers = {"ETag": fault.value} if fault.value else {}
        if fault.kind == "gzip":
            packed = gzip.compress(file.read_bytes(), 1)
            self._send(path, 200, {**headers, "Content-Encoding": "gzip"}, packed, body=body)
            return
        first, last, code = 0, size - 1, 200
        whole = fault.kind in {"no-range", "no-length"} or (fault.kind == "endless" and fault.value)
        if wanted is not None and not whole:
            first, last, code = wanted[0], min(wanted[1], size - 1), 206
            if first >= size:
                self._send(path, 416, {"Content-Range": f"bytes */{size}"}, b"")
                return
            if fault.kind == "wrong-range":
                first, last = first + 1, last
            claimed = size + (fault.value if fault.kind == "too-long" else 0)
            headers["Content-Range"] = f"bytes {first}-{last}/{claimed}"
        length = last - first + 1
        self.send_response(code)
        if fault.kind in {"no-length", "endless"}:
            headers["Connection"] = "close"
            self.close_connection = True
        else:
            headers["Content-Length"] = str(length)
        for key, value in {**headers, **dict(fault.headers)}.items():
            self.send_header(key, value)
        self.end_headers()
        if not body:
            return
        if fault.kind == "endless":
            with suppress(OSError):  # whoever asked has had enough
                while True:
                    self.wfile.write(bytes(1 << 16))
                    self.server.told.bodies[path] += 1 << 16
        stop = first + (min(length, fault.value) if fault.kind == "cut" else length)
        with file.open("rb") as content:
            content.seek(first)
            while first < stop:
                portion = content.read(min(1 << 20, stop - first))
                if fault.kind == "slow":
                    time.sleep(fault.value)
                try:
                    self.wfile.write(portion)
                except OSError:  # whoever asked has had enough
                    self.close_connection = True
                    return
                first += len(portion)
                self.server.told.bodies[path] += len(portion)
        if fault.kind == "cut":
            self.close_connection = True

    def _send(
        self, path: str, code: int, headers: dict[str, str], content: bytes, *, body: bool = True
    ) -> None:
        self.send_response(code)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)
            self.server.told.bodies[path] += len(content)
