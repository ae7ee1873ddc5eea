"""Bytes from elsewhere: any range of a file behind an address, over fsspec.

fsspec carries the bytes and knows the object stores. What it leaves open for HTTP is settled here: a
server that ignores ranges, a file that changes between two reads, another try where a connection breaks
or a server is busy, and what an error means.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from concurrent import futures
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from classrel_db.errors import MissingExtraError, SourceError
from classrel_db.spelling import quoted
from classrel_db.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from typing import BinaryIO

    Arrived = Callable[[int], None]
    """Told now and then how much more has come; less than 0 for what has to come again."""

FIRST = 1 << 16  # bytes of the beginning of a file, which come with the first request

_TRIES = 5  # in a row that brought next to nothing
_TRIES_TO_CONNECT = 3  # without a network nothing is gained by more
_FIRST_PAUSE = 0.5  # seconds, doubled with each try
_LONGEST_PAUSE = 60.0
_CONNECT_WITHIN = 20.0  # seconds
_PORTION_WITHIN = 60.0  # seconds for an answer, and for each FIRST bytes of it
_LOOK_EVERY = 0.2  # seconds, whether anyone still waits
_LONGEST_REASON = 200  # characters
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_PORTION = 1 << 22  # bytes between two reports, where a store gives all that was asked for at once

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
    web = urlsplit(url).scheme.lower() in {"http", "https"}
    return _Web(url, headers, alive) if web else _Store(url)


def shown_url(url: str) -> str:
    """``url`` as it may be shown and stored: without user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class _Again(Exception):  # noqa: N818
    """This try came to nothing, one of ``tries`` may: after ``pause`` seconds, if the server named them."""

    def __init__(self, reason: str, pause: float | None = None, tries: int = _TRIES) -> None:
        super().__init__(reason)
        self.pause = pause
        self.tries = tries


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
        done = told = tries = 0

        def same_range(response: Any) -> int:
            wanted = (start + done, start + len(into) - 1)
            if response.status == 200:
                raise self._changed("its server sends no ranges any more")
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found is None or (int(found[1]), int(found[2])) != wanted:
                raise _Again("the server sent another range than was asked for")
            self._require_same(response, int(found[3]))
            return len(into) - done

        def take(portion: bytes) -> None:
            nonlocal done
            into[done : done + len(portion)] = portion
            done += len(portion)

        def tell() -> None:
            nonlocal told
            count, told = done - told, done
            arrived(count)

        while done < len(into):
            before = done
            try:
                wanted = f"bytes={start + done}-{start + len(into) - 1}"
                self._get(wanted, same_range, take, tell)
            except _Again as error:
                tries = 1 if done - before >= FIRST else tries + 1
                self._pause(error, tries, tell)
        tell()

    def fetch_whole(self, target: BinaryIO, arrived: Arrived) -> None:
        done = told = tries = 0

        def same_file(response: Any) -> int | None:
            nonlocal done
            done = 0
            target.seek(0)
            target.truncate()
            length = _length(response)
            self._require_same(response, length)
            return length

        def take(portion: bytes) -> None:
            nonlocal done
            target.write(portion)
            done += len(portion)

        def tell() -> None:
            nonlocal told
            count, told = done - told, done
            arrived(count)

        while True:
            tries += 1
            try:
                self._get(None, same_file, take, tell)
            except _Again as error:
                self._pause(error, tries, tell)
            else:
                tell()
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
            except _Again as error:
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

        Raises _Again where another try may help, SourceError where none will.
        """
        from aiohttp import (
            ClientConnectionError,
            ClientConnectorError,
            ClientError,
            ClientPayloadError,
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
                        raise _Again("the server sent more than was asked for")
                    take(portion)
                    if got >= enough:
                        enough = got + FIRST
                        limit.reschedule(asyncio.get_running_loop().time() + _PORTION_WITHIN)
                if expected is not None and got != expected:
                    raise _Again(f"the server sent {got:,} bytes and not {expected:,}")

        try:
            _sync(run(), alive)
        except ClientConnectorError as error:
            raise _Again(_reason(error), tries=_TRIES_TO_CONNECT) from error
        except (ClientConnectionError, ClientPayloadError) as error:
            raise _Again(_reason(error)) from error
        except TimeoutError as error:
            raise _Again(f"hardly a byte comes in {_PORTION_WITHIN:.0f} seconds") from error
        except (ClientError, ValueError) as error:
            raise SourceError(
                f"can't read {self._shown}: {_reason(error)}; check the address"
            ) from error

    def _require(self, response: Any) -> None:
        """Raise what the status means, unless it is good."""
        status = response.status
        if status in {200, 206}:
            return
        told = _line(f"the server answers {status} {response.reason or ''}")
        if status in _BUSY:
            raise _Again(told, _retry_after(response.headers.get("Retry-After", "")))
        if self._address != self._url and status in {401, 403, 404, 410}:
            self._address = self._url  # an address that redirects gave may be good for a while only
            raise _Again(told, 0)
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

    def _require_same(self, response: Any, size: int | None) -> None:
        sizes = {self.size, size} - {None}
        if _state(response) != self._state or len(sizes) > 1:
            raise self._changed("its ETag, date or size is another one now")

    def _pause(self, error: _Again, tries: int, alive: Callable[[], None]) -> None:
        if tries >= error.tries:
            raise SourceError(
                f"can't read {self._shown}: {error} ({tries} tries); is there a network, and is the address "
                f"right? Try again later, or get the file by other means and give its path"
            ) from error
        backoff = _FIRST_PAUSE * 2 ** (tries - 1)
        _wait(min(backoff if error.pause is None else error.pause, _LONGEST_PAUSE), alive)

    def _changed(self, how: str) -> SourceError:
        return SourceError(
            f"{self._shown} changed while it was read ({how}); nothing of it is kept, run this again"
        )


class _Store:
    """A file in whatever else fsspec knows: object stores, other protocols."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.first = b""
        self.whole_only = False
        self._shown = quoted(shown_url(url), 300)
        try:
            self._files, self._path = fsspec.core.url_to_fs(url)
            self.size: int | None = int(self._files.info(self._path)["size"])
            self.etag: str | None = str(self._files.ukey(self._path))
        except ImportError as error:
            raise MissingExtraError(
                f"can't read {self._shown}: {error}; install that package beside classrel"
            ) from error
        except ValueError as error:
            raise SourceError(
                f"can't read {self._shown}: {_reason(error)}; addresses begin with https://, s3://, gs:// or "
                f"another protocol of fsspec"
            ) from error
        except _store_errors() as error:
            raise self._unreadable(error) from error

    def fetch(self, start: int, into: memoryview, arrived: Arrived) -> None:
        done = 0
        for portion in self._portions(start, len(into)):
            into[done : done + len(portion)] = portion
            done += len(portion)
            arrived(len(portion))

    def fetch_whole(self, target: BinaryIO, arrived: Arrived) -> None:
        for portion in self._portions(0, self.size or 0):
            target.write(portion)
            arrived(len(portion))

    def _portions(self, start: int, length: int) -> Iterator[bytes]:
        try:
            for at in range(start, start + length, _PORTION):
                stop = min(at + _PORTION, start + length)
                portion = self._files.cat_file(self._path, start=at, end=stop)
                if len(portion) != stop - at:
                    raise SourceError(f"{self._shown} ends before byte {stop:,}; get it again")
                yield portion
            if str(self._files.ukey(self._path)) != self.etag:
                raise SourceError(
                    f"{self._shown} changed while it was read; nothing of it is kept, run this again"
                )
        except _store_errors() as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> SourceError:
        return SourceError(
            f"can't read {self._shown}: {_reason(error)}; check the address and your access to it"
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
        while not futures.wait([future], timeout=_LOOK_EVERY).done:
            alive()
        future.result()
    except BaseException:
        future.cancel()
        ended.wait(_LOOK_EVERY)  # it may be about to write where the caller then closes
        raise


def _wait(seconds: float, alive: Callable[[], None]) -> None:
    """Let time pass; it ends where ``alive`` raises."""
    while seconds > 0:
        alive()
        time.sleep(min(seconds, _LOOK_EVERY))
        seconds -= _LOOK_EVERY


def _state(response: Any) -> str | None:
    """What stays the same as long as the file does, as far as the server tells.

    Of several servers behind one name each may have a date of its own, or call its ETag a weak one.
    """
    etag: str | None = response.headers.get("ETag")
    date: str | None = response.headers.get("Last-Modified")
    return etag.removeprefix("W/") if etag else date


def _is_encoded(response: Any) -> bool:
    """Whether what comes is compressed, though it was asked for as it is: no place in it is the file's."""
    return response.headers.get("Content-Encoding", "identity").lower() != "identity"


def _length(response: Any) -> int | None:
    """The bytes of the file that all of ``response`` would be, if that can be told."""
    return None if _is_encoded(response) else response.content_length


def _retry_after(text: str) -> float | None:
    """The seconds that a header Retry-After names, as a number or as a date."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _reason(error: BaseException) -> str:
    """An error in one line, without the addresses that some name: secrets may be in them."""
    from aiohttp import ClientResponseError, InvalidURL, TooManyRedirects

    match error:
        case TooManyRedirects():
            return "one address leads to another without end"
        case InvalidURL():
            return "it is no address of the web, or leads to one that isn't"
        case ClientResponseError():
            return _line(f"its server's answer can't be understood: {error.message}")
    return _line(str(error)) or type(error).__name__


def _line(text: str) -> str:
    """What another side says, as one line of bounded length."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


def _store_errors() -> tuple[type[Exception], ...]:
    """What the file systems of fsspec raise; some let their own library's errors through."""
    found: list[type[Exception]] = [OSError]
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return tuple(found)
    return (*found, BotoCoreError, ClientError)
