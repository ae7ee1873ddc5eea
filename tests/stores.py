"""An S3-compatible server on loopback, and a proxy before it that drops connections."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "lakes"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def store() -> Iterator[str]:
    """moto's server with an empty bucket: its address, which the environment names meanwhile."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    try:
        with mock.patch.dict("os.environ", {**CREDENTIALS, "AWS_ENDPOINT_URL": address}):
            client().create_bucket(Bucket=BUCKET)
            yield address
    finally:
        forget()
        server.stop()


def client():
    """S3 by boto3, which classrel does not use."""
    import boto3

    return boto3.session.Session().client("s3")


def forget() -> None:
    """Let fsspec open the store anew: it keeps file systems by their address, not by the environment."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


class Dropping:
    """Passes connections on to a server, and drops every ``every``-th after ``after`` bytes of the answer."""

    def __init__(self, target: str, every: int, after: int = 300) -> None:
        host, port = target.removeprefix("http://").split(":")
        self._target = (host, int(port))
        self._every, self._after = every, after
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.connections = self.dropped = 0
        self._stopped = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._stopped = True
        with suppress(OSError):
            self._listening.shutdown(
                socket.SHUT_RDWR
            )  # which wakes the thread that waits for connections
        self._listening.close()

    def _accept(self) -> None:
        while not self._stopped:
            try:
                ours, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            drops = self.connections % self._every == 0
            self.dropped += drops
            threading.Thread(target=self._pass_on, args=(ours, drops), daemon=True).start()

    def _pass_on(self, ours: socket.socket, drops: bool) -> None:
        with ours, suppress(OSError), socket.create_connection(self._target) as theirs:
            asking = threading.Thread(target=_pump, args=(ours, theirs), daemon=True)
            asking.start()
            _pump(theirs, ours, self._after if drops else None)
            for each in (ours, theirs):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)  # which wakes the other thread
            asking.join()


def _pump(source: socket.socket, target: socket.socket, most: int | None = None) -> None:
    """Pass on what comes, or only so many bytes of it."""
    passed = 0
    with suppress(OSError):
        while portion := source.recv(65536):
            target.sendall(portion if most is None else portion[: most - passed])
            passed += len(portion)
            if most is not None and passed >= most:
                return
