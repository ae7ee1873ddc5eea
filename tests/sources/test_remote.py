"""Files behind an address: what comes over the wire, and what servers do to it."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

import fsspec
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from server import ALWAYS, Fault, Server, serving

from classrel_db.errors import LabelError, MissingExtraError, SourceError
from classrel_db.records import LoadOptions
from classrel_db.sources import load, locate, remote, transport, tries

from .conftest import C, D, single_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from classrel_db.records import Head

WIDE = 80_000  # the file then spans several blocks, and its head is streamed


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(tries, "_FIRST_PAUSE", 0.01)
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as running:
        yield running


@pytest.fixture
def wide(server: Server) -> np.ndarray:
    """A head of 1.6 MB in a file of 3 MB, ``wide.safetensors`` on the server."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(C, WIDE)).astype(np.float32)
    other = rng.normal(size=(C + 1, WIDE)).astype(np.float32)
    tensors = {"a.weight": other, "fc.weight": weight, "fc.bias": weight[:, 0].copy()}
    save_file(tensors, server.folder / "wide.safetensors")
    return weight


@pytest.fixture
def fetch(labels: Path, server: Server) -> Callable[..., Head]:
    def load_address(name: str, **options: object) -> Head:
        spec = name if ":" in name else server.url(name)
        return load(locate(spec), LoadOptions(labels=labels, **options))

    return load_address


def refused(fetch: Callable[..., Head], name: str, pattern: str) -> str:
    with pytest.raises(SourceError, match=pattern) as caught:
        fetch(name)
    assert single_line(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("ending", ["safetensors", "pth", "npz"])
def test_a_head_over_http_is_the_files_own(
    server: Server, fetch: Callable[..., Head], matrix: np.ndarray, ending: str
) -> None:
    path = server.folder / f"m.{ending}"
    if ending == "safetensors":
        save_file({"fc.weight": matrix, "fc.bias": matrix[:, 0].copy()}, path)
    elif ending == "pth":
        state = {"fc.weight": torch.from_numpy(matrix), "fc.bias": torch.from_numpy(matrix)[:, 0]}
        torch.save(state, path)
    else:
        np.savez(path, weight=matrix, bias=matrix[:, 0])
    head = fetch(f"m.{ending}")
    assert np.array_equal(head.weight, matrix)
    assert np.array_equal(head.bias, matrix[:, 0])
    assert (head.source, head.uri) == ("url", server.url(f"m.{ending}"))
    assert head.bytes_total == path.stat().st_size


def test_only_the_head_comes_over_the_wire(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray
) -> None:
    head = fetch("wide.safetensors")
    assert np.array_equal(head.weight, wide)
    assert head.bytes_read == server.sent()
    assert wide.nbytes < head.bytes_read < 1.05 * wide.nbytes + 3 * transport.FIRST
    assert head.bytes_total == (server.folder / "wide.safetensors").stat().st_size > 2 * wide.nbytes
    assert head.etag


def test_a_file_of_50_gb_costs_its_head_alone(
    server: Server, fetch: Callable[..., Head], matrix: np.ndarray
) -> None:
    size = 50_000_000_000
    header = json.dumps(
        {
            "big.weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]},
            "fc.weight": {
                "dtype": "F32",
                "shape": [C, D],
                "data_offsets": [size, size + matrix.nbytes],
            },
        }
    ).encode()
    with (server.folder / "huge.safetensors").open("wb") as file:  # sparse: it takes no room
        file.write(len(header).to_bytes(8, "little") + header)
        file.seek(8 + len(header) + size)
        file.write(matrix.tobytes())
    head = fetch("huge.safetensors")
    assert np.array_equal(head.weight, matrix)
    assert head.bytes_read < 3 * transport.FIRST < size < head.bytes_total
    server.faults["/huge.safetensors"] = [Fault("no-range")]
    told = refused(fetch, "huge.safetensors", "whole file is 50.0 GB; give --full")
    assert "no part of a file alone" in told


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("status", 503)] * 4,
        [Fault("status", 429, (("Retry-After", "0"),)), Fault("status", 500)],
        [Fault("cut", 1000)] * 4,
        [Fault("none"), *[Fault("cut", 100_000)] * 20],  # each goes on where the last broke off
        [Fault("slow", 0.05)],
    ],
    ids=lambda faults: faults[-1].kind,
)
def test_what_passes_is_waited_out(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray, faults: list[Fault]
) -> None:
    server.faults["/wide.safetensors"] = faults
    assert np.array_equal(fetch("wide.safetensors").weight, wide)


def test_retry_after_is_obeyed(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(tries, "_wait", lambda seconds, alive: waited.append(seconds))
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 20))
    server.faults["/wide.safetensors"] = [
        Fault("status", 429, (("Retry-After", "7"),)),
        Fault("status", 503, (("Retry-After", soon),)),
        Fault("status", 503, (("Retry-After", "soon"),)),
        Fault("status", 503, (("Retry-After", "99999"),)),
    ]
    fetch("wide.safetensors")
    assert waited[0] == 7
    assert 15 < waited[1] <= 20
    assert waited[2] == tries._FIRST_PAUSE * 4
    assert waited[3] == tries._LONGEST_PAUSE


@pytest.mark.parametrize(
    ("fault", "pattern"),
    [
        (Fault("status", 404), r"there is no file at .*404.*check the address"),
        (Fault("status", 410), "there is no file at"),
        (Fault("status", 401), "without permission.*netrc"),
        (Fault("status", 403), "without permission"),
        (Fault("status", 418), "answers 418"),
        (Fault("status", 429), r"answers 429.*\(5 tries\)"),
        (Fault("status", 500), r"answers 500.*\(5 tries\).*give its path"),
        (Fault("redirect", "/wide.safetensors"), "check the address"),
        (Fault("redirect", "ftp://127.0.0.1/x"), "check the address"),
    ],
    ids=lambda value: f"{value.kind}-{value.value}" if isinstance(value, Fault) else "",
)
def test_what_does_not_pass_is_said_in_one_line(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray, fault: Fault, pattern: str
) -> None:
    server.faults["/wide.safetensors"] = [fault] * ALWAYS if fault.kind else []
    refused(fetch, "wide.safetensors", pattern)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("etag", '"another"'),
        Fault("too-long", 1),
        Fault("etag", None),
        Fault("no-range"),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_file_that_changes_between_two_reads_is_refused(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray, fault: Fault
) -> None:
    server.faults["/wide.safetensors"] = [Fault("none"), fault]
    refused(fetch, "wide.safetensors", "changed while it was read.*run this again")


def test_the_date_tells_where_there_is_no_etag(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray
) -> None:
    first, second = (
        Fault("etag", None, (("Last-Modified", f"Mon, 0{day} Jan 2024 00:00:00 GMT"),))
        for day in (1, 2)
    )
    server.faults["/wide.safetensors"] = [first] * 4
    assert np.array_equal(fetch("wide.safetensors").weight, wide)
    server.faults["/wide.safetensors"] = [first, second]
    refused(fetch, "wide.safetensors", "changed while it was read")


def test_servers_behind_one_name_may_differ_in_dates_and_call_the_etag_weak(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray
) -> None:
    etag = fetch("wide.safetensors").etag
    dated = (("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT"),)
    server.faults["/wide.safetensors"] = [Fault("none", None, dated), Fault("etag", f"W/{etag}")]
    assert np.array_equal(fetch("wide.safetensors").weight, wide)


def test_a_whole_file_is_one_answer_whatever_its_etag_was_before(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray
) -> None:
    server.faults["/wide.safetensors"] = [Fault("etag", '"1"'), Fault("etag", '"2"')]
    head = fetch("wide.safetensors", full=True)
    assert np.array_equal(head.weight, wide)
    assert head.etag == '"2"'


def test_a_body_without_end_is_left(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults["/wide.safetensors"] = [Fault("endless")] * ALWAYS
    refused(fetch, "wide.safetensors", "more than was asked for")
    monkeypatch.setattr(remote, "_MOST_UNASKED", 3_000_000)
    server.faults["/wide.safetensors"] = [Fault("endless", "whole")] * ALWAYS
    refused(fetch, "wide.safetensors", "the whole file is over 3.0 MB; give --full")


def test_what_is_compressed_unasked_is_fetched_whole(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray
) -> None:
    server.faults["/wide.safetensors"] = [Fault("gzip")] * ALWAYS
    head = fetch("wide.safetensors")
    assert np.array_equal(head.weight, wide)
    assert head.bytes_read == (server.folder / "wide.safetensors").stat().st_size


@pytest.mark.parametrize("size", ["*", str(10**18), str(10**30), "9" * 5000, "\xb2"])
def test_a_size_that_no_file_has_is_none(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray, size: str
) -> None:
    odd = Fault("none", None, (("Content-Range", f"bytes 0-65535/{size}"),))
    server.faults["/wide.safetensors"] = [odd]
    head = fetch("wide.safetensors")
    assert np.array_equal(head.weight, wide)
    assert head.bytes_total == (server.folder / "wide.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("fault", "pattern"),
    [
        (Fault("cut", 1000), r"breaks off.*\(5 tries\)"),
        (Fault("slow", 0.2), r"hardly a byte comes in .*\(5 tries\)"),
    ],
    ids=["cut", "slow"],
)
def test_a_server_that_hardly_sends_anything_is_given_up(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray, fault: Fault, pattern: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(transport, "_PORTION_WITHIN", 0.1)
    server.faults["/wide.safetensors"] = [Fault("none"), *[fault] * ALWAYS]
    refused(fetch, "wide.safetensors", pattern)


def test_another_range_than_was_asked_for_is_never_taken(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray
) -> None:
    server.faults["/wide.safetensors"] = [Fault("none"), *[Fault("wrong-range")] * 2]
    assert np.array_equal(fetch("wide.safetensors").weight, wide)
    server.faults["/wide.safetensors"] = [Fault("none"), *[Fault("wrong-range")] * ALWAYS]
    refused(fetch, "wide.safetensors", "another range")


@pytest.mark.parametrize("kind", ["no-range", "no-length", "wrong-range"])
def test_a_server_without_ranges_sends_all_and_that_is_said(
    server: Server, labels: Path, wide: np.ndarray, tmp_path: Path, kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "served"))
    server.faults["/wide.safetensors"] = [Fault(kind)] * (1 if kind == "wrong-range" else ALWAYS)
    told: list[tuple[str, str, int]] = []

    def progress(done: int, total: int, stage: str = "read", note: str = "") -> None:
        if note or stage == "download":
            told.append((stage, note, done))
            # it is kept without a name, so that even a killed process leaves nothing
            assert [each.name for each in server.folder.iterdir()] == ["wide.safetensors"]

    head = load(locate(server.url("wide.safetensors")), LoadOptions(labels=labels), progress)
    size = (server.folder / "wide.safetensors").stat().st_size
    assert np.array_equal(head.weight, wide)
    assert head.bytes_read == head.bytes_total == size
    stage, note, done = told[0]
    assert (stage, done) == ("download", 0)
    assert "sends no part of a file alone, so all of it" in note
    assert told[-1] == ("download", "", size)
    assert [each.name for each in server.folder.iterdir()] == ["wide.safetensors"]


def test_a_whole_file_that_breaks_off_is_begun_anew(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray
) -> None:
    server.faults["/wide.safetensors"] = [
        Fault("no-range"), Fault("cut", 5000), Fault("status", 502), Fault("no-range")
    ]  # fmt: skip
    assert np.array_equal(fetch("wide.safetensors").weight, wide)
    server.faults["/wide.safetensors"] = [Fault("no-range"), *[Fault("cut", 5000)] * ALWAYS]
    refused(fetch, "wide.safetensors", "5 tries")


def test_a_redirect_is_followed_once_and_its_secret_place_not_shown(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray
) -> None:
    server.faults["/latest.safetensors"] = [
        Fault("redirect", "/wide.safetensors?Signature=secret")
    ] * ALWAYS
    head = fetch("latest.safetensors")
    assert np.array_equal(head.weight, wide)
    assert head.uri == server.url("latest.safetensors")
    assert [request.path for request in server.requests].count("/latest.safetensors") == 1


@pytest.mark.parametrize(
    ("place", "pattern"),
    [
        ("/wide.safetensors?Signature=secret", "leads to another without end"),
        ("javascript:secret", "no address of the web"),
        ("http://[half/secret", "no address of the web"),
        ("http://127.0.0.1:9/secret", "Cannot connect"),
    ],
)
def test_where_a_redirect_leads_is_not_told(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray, place: str, pattern: str
) -> None:
    server.faults["/wide.safetensors"] = [Fault("redirect", place)] * ALWAYS
    assert "secret" not in refused(fetch, "wide.safetensors", pattern)


def test_an_address_that_has_run_out_is_asked_for_again(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray
) -> None:
    server.faults["/latest.safetensors"] = [
        Fault("redirect", "/wide.safetensors?for=a-minute")
    ] * ALWAYS
    server.faults["/wide.safetensors"] = [Fault("none"), Fault("status", 403)]
    assert np.array_equal(fetch("latest.safetensors").weight, wide)
    assert [request.path for request in server.requests].count("/latest.safetensors") == 2


def test_headers_go_to_the_first_host_alone(
    server: Server, wide: np.ndarray, tmp_path: Path
) -> None:
    with serving(server.folder) as other:
        other.faults["/wide.safetensors"] = [Fault("redirect", server.url("wide.safetensors"))]
        address = other.url("wide.safetensors")
        with remote.open_remote(
            address, headers={"Authorization": "Bearer x", "X-Own": "y"}
        ) as file:
            file.read_range(file.size - 300_000, 300_000)
        assert other.requests[0].headers["Authorization"] == "Bearer x"
    assert len(server.requests) == 2
    assert not any("Authorization" in request.headers for request in server.requests)
    assert not any("X-Own" in request.headers for request in server.requests[1:])


def test_user_password_and_query_are_used_but_never_told(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = server.url("wide.safetensors?token=abc").replace("//", "//user:secret@")
    head = fetch(secret)
    assert head.uri == server.url("wide.safetensors")
    assert len(server.requests) == 3
    assert all(each.headers["Authorization"].startswith("Basic ") for each in server.requests)
    server.faults["/wide.safetensors"] = [Fault("status", 403)] * ALWAYS
    told = refused(fetch, secret, "without permission")
    assert "secret" not in told
    assert "abc" not in told
    monkeypatch.setattr(transport, "_CONNECT_WITHIN", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # it never answers the TLS greeting
        monkeypatch.setattr(transport, "_PORTION_WITHIN", 0.1)
        place = f"user:secret@127.0.0.1:{deaf.getsockname()[1]}"
        assert "secret" not in refused(fetch, f"https://{place}/m.npz?t=secret", "tries")


@pytest.mark.parametrize(
    "address",
    [
        "https://user:secret/more@127.0.0.1/m.npz",
        "https://user:secret?more@127.0.0.1/m.npz",
        "https:///user:secret@127.0.0.1/m.npz",
        "zip://m.npz::https://user:secret@127.0.0.1:9/m.zip",
        "memory://user:secret@bucket/m.npz",
        "reference://user:secret@bucket/m.npz",
        "hf://user:secret@owner/m.npz",
    ],
)
def test_an_address_that_is_none_is_refused_without_its_secrets(
    fetch: Callable[..., Head], address: str
) -> None:
    assert "secret" not in refused(fetch, address, "address")


def test_a_proxy_that_does_not_answer_is_named(
    server: Server, fetch: Callable[..., Head], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@127.0.0.1:9")
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.delenv("no_proxy", raising=False)
    assert "secret" not in refused(fetch, "wide.safetensors", "the proxy that HTTP_PROXY.*names")


def test_a_damaged_file_is_named_by_its_address(server: Server, fetch: Callable[..., Head]) -> None:
    (server.folder / "bad.safetensors").write_bytes(b"no safetensors at all")
    refused(fetch, "bad.safetensors", "bad.safetensors.* is no safetensors file")
    (server.folder / "empty.safetensors").write_bytes(b"")
    refused(fetch, "empty.safetensors", "is empty")


def test_labels_of_another_length_are_refused(
    server: Server, wide: np.ndarray, tmp_path: Path
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("a\nb\n")
    with pytest.raises((LabelError, SourceError), match="2"):
        load(locate(server.url("wide.safetensors")), LoadOptions(labels=short, head="fc"))


def test_no_network_is_one_line(fetch: Callable[..., Head], server: Server) -> None:
    refused(fetch, "http://127.0.0.1:9/m.safetensors", "3 tries.*is there a network")
    refused(fetch, "https://[::1/m.safetensors", "the host in that address")
    refused(fetch, server.url("m.zip"), "ends in none of")


def test_other_protocols_are_fsspecs(
    fetch: Callable[..., Head], wide: np.ndarray, server: Server
) -> None:
    content = (server.folder / "wide.safetensors").read_bytes()
    files = fsspec.filesystem("memory")
    files.pipe_file("/bucket/wide.safetensors", content)
    try:
        head = fetch("memory://bucket/wide.safetensors")
        assert np.array_equal(head.weight, wide)
        assert head.bytes_read < 1.05 * wide.nbytes + 4 * transport.FIRST
        refused(fetch, "memory://bucket/none.safetensors", "can't read")
    finally:
        files.rm("/bucket", recursive=True)
    refused(fetch, "nothing://bucket/m.safetensors", "another protocol of fsspec")


def test_a_protocol_whose_package_is_missing_names_it(
    fetch: Callable[..., Head], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*args: object, **kwargs: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingExtraError, match="Install s3fs"):
        fetch("s3://bucket/m.safetensors")


@pytest.mark.parametrize(
    "fault",
    [Fault("slow", 3), Fault("status", 503, (("Retry-After", "30"),))],
    ids=lambda fault: fault.kind,
)
def test_waiting_ends_when_nobody_waits_any_more(
    server: Server, wide: np.ndarray, labels: Path, fault: Fault
) -> None:
    class EnoughError(Exception):
        pass

    begun = time.monotonic()

    def progress(done: int, total: int, stage: str = "read", note: str = "") -> None:
        if time.monotonic() - begun > 0.1:
            raise EnoughError

    server.faults["/wide.safetensors"] = [Fault("none"), fault]
    with pytest.raises(EnoughError):
        load(locate(server.url("wide.safetensors")), LoadOptions(labels=labels), progress)
    assert time.monotonic() - begun < 2.5


@pytest.mark.parametrize("kind", ["none", "no-range"])
def test_an_interruption_from_within_is_one_of_the_caller_alone(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray, labels: Path, kind: str
) -> None:
    def progress(done: int, total: int, stage: str = "read", note: str = "") -> None:
        if done:
            raise KeyboardInterrupt

    server.faults["/wide.safetensors"] = [Fault(kind)] * 2
    with pytest.raises(KeyboardInterrupt):
        load(locate(server.url("wide.safetensors")), LoadOptions(labels=labels), progress)
    assert np.array_equal(fetch("wide.safetensors").weight, wide)


def test_no_room_for_a_whole_file_is_said_before_it_is_fetched(
    server: Server, fetch: Callable[..., Head], wide: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        remote.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 1000})
    )
    server.faults["/wide.safetensors"] = [Fault("no-range")] * ALWAYS
    refused(fetch, "wide.safetensors", "has room for 1.0 kB; name another folder by TMPDIR")
    assert server.sent() < 100_000_000
