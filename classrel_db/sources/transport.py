"""Bytes from elsewhere: any range of a file behind an address, over fsspec.

fsspec carries the bytes and knows the object stores. What it leaves open for HTTP is settled here: a
server that ignores ranges, a file that changes between two reads, another try where a connection breaks
or a server is busy, and what an error means.
"""

from __future__ import annotations

import asyncio
import re
import threading
from concurrent import futures
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from classrel_db.errors import SourceError
from classrel_db.sources.tries import (
    BUSY,
    LOOK_EVERY,
    TRIES_TO_CONNECT,
    Again,
    retry_after,
    wait_after,
)
from classrel_db.spelling import quoted
from classrel_db.text import printable, shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import BinaryIO

    Arrived = Callable[[int], None]
    """Told now and then how much more has come; less than 0 for what has to come again."""

FIRST = 1 << 16  # bytes of the beginning of a file, which come with the first request

_CONNECT_WITHIN = 20.0  # seconds
_PORTION_WITHIN = 60.0  # seconds for an answer, and for each FIRST bytes of it
_LONGEST_REASON = 200  # characters

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.IGNORECASE)


class Ranges(Protocol):
    """An open file elsewhere.

    ``size`` is in bytes, None where the server does not say. ``etag`` is the server's mark of the file's
    state. ``first`` are the bytes that opening it brought. ``whole_only`` says that no part of it comes
    alone.
    """

    size: int | None
    etag: str | None
    first: bytes
    whole_only: bool

    def fetch(self, start: int, into: memoryview, arrived: Arrived) -> None:
        """Fill ``into`` with the bytes from ``start`` on."""

    def fetch_whole(self, target: BinaryIO, arrived: Arrived) -> None:
        """Write all of the file to ``target``."""


def open_ranges(url: str, headers: Mapping[str, str], alive: Callable[[], None]) -> Ranges:
    """Open the file at ``url``; ``headers`` are for HTTP, and go to the host of ``url`` alone.

    ``alive`` is called now and then while a server is waited for; what it raises ends the waiting.
    Raises SourceError, as MissingExtraError where the address needs a package that is not installed.
    """
    from classrel_db.sources.stores import Store

    web = urlsplit(url).scheme.lower() in {"http", "https"}
    return _Web(url, headers, alive) if web else Store(url)


class _Count:
    """The bytes that have come: counted in the loop's thread, told in the one that waits for them."""

    def __init__(self, arrived: Arrived) -> None:
        self.done = 0
        self._told = 0
        self._arrived = arrived

    def tell(self) -> None:
        done = self.done
        self._arrived(done - self._told)
        self._told = done


class _Web:
    """A file behind HTTP."""

    def __init__(self, url: str, headers: Mapping[str, str], alive: Callable[[], None]) -> None:
        self.size: int | None = None
        self.etag: str | None = None
        self.first = b""
        self.whole_only = False
        self._url = self._address = url  # the address is where redirects have led
        self._headers = headers
        self._shown = quoted(shown_url(url), 300)
        self._state: str | None = None
        self._open(alive)

    def fetch(self, start: int, into: memoryview, arrived: Arrived) -> None:
        count = _Count(arrived)
        tries = 0

        def same_range(response: Any) -> int:
            wanted = (start + count.done, start + len(into) - 1)
            if response.status == 200:
                raise self._changed("its server sends no ranges any more")
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found is None or (int(found[1]), int(found[2])) != wanted:
                raise Again("the server sent another range than was asked for")
            self._require_same(response, int(found[3]))
            return len(into) - count.done

        def take(portion: bytes) -> None:
            into[count.done : count.done + len(portion)] = portion
            count.done += len(portion)

        while count.done < len(into):
            before = count.done
            try:
                wanted = f"bytes={start + before}-{start + len(into) - 1}"
                self._get(wanted, same_range, take, count.tell)
            except Again as error:
                tries = 1 if count.done - before >= FIRST else tries + 1
                self._pause(error, tries, count.tell)
        count.tell()

    def fetch_whole(self, target: BinaryIO, arrived: Arrived) -> None:
        count = _Count(arrived)
        tries = 0

        def same_file(response: Any) -> int | None:
            count.done = 0
            target.seek(0)
            target.truncate()
            self.etag = response.headers.get("ETag")  # of this one answer, whatever came before
            return _length(response)

        def take(portion: bytes) -> None:
            target.write(portion)
            count.done += len(portion)

        while True:
            tries += 1
            try:
                self._get(None, same_file, take, count.tell)
            except Again as error:
                self._pause(error, tries, count.tell)
            else:
                count.tell()
                return

    def _open(self, alive: Callable[[], None]) -> None:
        content = bytearray()

        def learn(response: Any) -> int:
            content.clear()
            self.etag = response.headers.get("ETag")
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            ranged = response.status == 206 and found is not None and int(found[1]) == 0
            if found is not None and ranged and not _is_encoded(response):
                self.size = int(found[3])
            else:
                self.whole_only = True
                self.size = _length(response) if response.status == 200 else None
            self._state = _state(response)
            return 0 if self.whole_only else min(FIRST, self.size or 0)

        tries = 0
        while True:
            tries += 1
            try:
                self._get(f"bytes=0-{FIRST - 1}", learn, content.extend, alive)
            except Again as error:
                self._pause(error, tries, alive)
            else:
                self.first = bytes(content)
                return

    def _get(
        self,
        wanted: str | None,
        accept: Callable[[Any], int | None],
        take: Callable[[bytes], None],
        alive: Callable[[], None],
    ) -> None:
        """One request: ``take`` gets the body in portions, of as many bytes as ``accept`` says.

        Raises Again where another try may help, SourceError where none will.
        """
        from aiohttp import (
            ClientConnectionError,
            ClientConnectorError,
            ClientError,
            ClientPayloadError,
            ConnectionTimeoutError,
        )
        from yarl import URL

        async def run() -> None:
            session = await _http().set_session()
            headers = {"Accept-Encoding": "identity"}
            if URL(self._address).origin() == URL(self._url).origin():
                headers.update(self._headers)
            if wanted is not None:
                headers["Range"] = wanted
            async with (
                asyncio.timeout(_PORTION_WITHIN) as limit,
                session.get(self._address, headers=headers) as response,
            ):
                self._require(response)
                if response.history:
                    self._address = str(response.url)
                expected = accept(response)
                if expected == 0:
                    return
                got = enough = 0
                async for portion in response.content.iter_any():
                    got += len(portion)
                    if expected is not None and got > expected:
                        raise Again("the server sent more than was asked for")
                    take(portion)
                    if got >= enough:
                        enough = got + FIRST
                        limit.reschedule(asyncio.get_running_loop().time() + _PORTION_WITHIN)
                if expected is not None and got != expected:
                    raise Again(f"the server sent {got:,} bytes and not {expected:,}")

        try:
            _sync(run(), alive)
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            raise Again(reason_of(error), tries=TRIES_TO_CONNECT) from error
        except (ClientConnectionError, ClientPayloadError) as error:
            raise Again(reason_of(error)) from error
        except TimeoutError as error:
            raise Again(f"hardly a byte comes in {_PORTION_WITHIN:.0f} seconds") from error
        except (ClientError, ValueError) as error:
            raise SourceError(
                f"can't read {self._shown}: {reason_of(error)}; check the address"
            ) from error

    def _require(self, response: Any) -> None:
        """Raise what the status means, unless it is good."""
        status = response.status
        if status in {200, 206}:
            return
        told = _line(f"the server answers {status} {response.reason or ''}")
        if status in BUSY:
            raise Again(told, retry_after(response.headers.get("Retry-After", "")))
        if self._address != self._url and status in {401, 403, 404, 410}:
            self._address = self._url  # an address that redirects gave may be good for a while only
            raise Again(told, 0)
        if status in {401, 403, 407}:
            raise SourceError(
                f"{self._shown} may not be read without permission ({told}); give user and password in "
                f"the address or in a .netrc file, or get the file and give its path"
            )
        if status in {404, 410}:
            raise SourceError(f"there is no file at {self._shown} ({told}); check the address")
        if status == 416:
            raise SourceError(f"{self._shown} is empty ({told}); check the address")
        raise SourceError(f"can't read {self._shown}: {told}; check the address")

    def _require_same(self, response: Any, size: int) -> None:
        if _state(response) != self._state or size != self.size:
            raise self._changed("its ETag, date or size is another one now")

    def _pause(self, error: Again, tries: int, alive: Callable[[], None]) -> None:
        if tries >= error.tries:
            raise SourceError(
                f"can't read {self._shown}: {error} ({tries} tries); is there a network, and is the address "
                f"right? Try again later, or get the file by other means and give its path"
            ) from error
        wait_after(tries, error, alive)

    def _changed(self, how: str) -> SourceError:
        return SourceError(
            f"{self._shown} changed while it was read ({how}); nothing of it is kept, run this again, or "
            f"with --full"
        )


@cache
def _http() -> Any:
    """fsspec's file system for HTTP; proxies and .netrc are taken from the environment."""
    import fsspec
    from aiohttp import ClientTimeout

    within = ClientTimeout(total=None, sock_connect=_CONNECT_WITHIN)
    return fsspec.filesystem("http", client_kwargs={"timeout": within, "trust_env": True})


def _sync(work: Coroutine[Any, Any, None], alive: Callable[[], None]) -> None:
    """Run ``work`` in fsspec's loop; it ends where ``alive`` raises, as it would with the process."""
    ended = threading.Event()

    async def run() -> None:
        try:
            await work
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(run(), _http().loop)
    try:
        while not futures.wait([future], timeout=LOOK_EVERY).done:
            alive()
        future.result()
    except BaseException:
        future.cancel()
        ended.wait(LOOK_EVERY)  # it may be about to write where the caller then closes
        raise


def _state(response: Any) -> str | None:
    """What stays the same as long as the file does, as far as the server tells.

    Of several servers behind one name each may have a date of its own, or call its ETag a weak one.
    """
    etag: str | None = response.headers.get("ETag")
    date: str | None = response.headers.get("Last-Modified")
    return etag.removeprefix("W/") if etag else date


def _is_encoded(response: Any) -> bool:
    """Whether what comes is compressed, though it was asked for as it is: no place in it is the file's."""
    encoding: str = response.headers.get("Content-Encoding", "identity")
    return encoding.lower() != "identity"


def _length(response: Any) -> int | None:
    """The bytes of the file that all of ``response`` would be, if that can be told."""
    return None if _is_encoded(response) else response.content_length


def reason_of(error: BaseException) -> str:
    """An error in one line, without the addresses that some name: secrets may be in them."""
    from aiohttp import (
        ClientHttpProxyError,
        ClientPayloadError,
        ClientProxyConnectionError,
        ClientResponseError,
        ConnectionTimeoutError,
        InvalidURL,
        NonHttpUrlClientError,
        TooManyRedirects,
    )

    match error:
        case ConnectionTimeoutError():
            return f"no connection in {_CONNECT_WITHIN:.0f} seconds"
        case ClientProxyConnectionError():
            return f"the proxy that HTTP_PROXY or HTTPS_PROXY names: {_line(str(error))}"
        case ClientHttpProxyError():
            return f"the proxy answers {error.status} {_line(error.message)}"
        case ClientPayloadError():
            return "what the server sends breaks off, or can't be decoded"
        case TooManyRedirects():
            return "one address leads to another without end"
        case InvalidURL() | NonHttpUrlClientError():
            return "it is no address of the web, or leads to one that isn't"
        case ClientResponseError():
            return _line(f"its server's answer can't be understood: {error.message}")
    return _line(str(error)) or type(error).__name__


def _line(text: str) -> str:
    """What another side says, as one line of bounded length."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"
