from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.venues.base import Response
from faultline.venues.http import (
    BODY_MAX_BYTES,
    HEAD_MAX_BYTES,
    BadRequest,
    Incoming,
    RequestParser,
    serialise,
    split_target,
)

CHUNKED = (
    b"POST /orders?a=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4;ext=1\r\nWiki\r\n5\r\npedia\r\n0\r\nTrailer: x\r\n\r\n"
)
SIZED = b"PUT /orders/7 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
PLAIN = b"GET /time HTTP/1.1\r\nHost: x\r\nAccept: a\r\naccept: b\r\n\r\n"


def parse(*pieces: bytes) -> list[Incoming]:
    parser, found = RequestParser(), []
    for piece in pieces:
        parser.feed(piece)
        while (incoming := parser.next()) is not None:
            found.append(incoming)
    return found


def refusal(raw: bytes) -> int:
    parser = RequestParser()
    parser.feed(raw)
    with pytest.raises(BadRequest) as refused:
        while parser.next() is not None:
            pass
    return refused.value.status


def test_requests_are_read_whole() -> None:
    chunked, sized, plain = parse(CHUNKED + SIZED + PLAIN)
    assert (chunked.head.method, chunked.head.path, chunked.head.query, chunked.body) == (
        "POST", "/orders", {"a": "1"}, b"Wikipedia",
    )  # fmt: skip
    assert (sized.head.method, sized.body) == ("PUT", b"hello")
    assert (plain.body, plain.head.headers) == (b"", {"host": "x", "accept": "a, b"})


@settings(max_examples=100, deadline=None)
@given(cuts=st.lists(st.integers(0, len(CHUNKED + SIZED + PLAIN)), max_size=12))
def test_how_bytes_are_cut_into_segments_changes_nothing(cuts: list[int]) -> None:
    raw = CHUNKED + SIZED + PLAIN
    edges = [0, *sorted(cuts), len(raw)]
    assert parse(*(raw[start:end] for start, end in pairwise(edges))) == parse(raw)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", SIZED, CHUNKED[:60], b"POST / HTTP/1.1\r\n"]))
def test_garbage_is_refused_or_waited_for_but_breaks_nothing(noise: bytes, start: bytes) -> None:
    parser = RequestParser()
    parser.feed(start + noise)
    status = 0
    try:
        while parser.next() is not None:
            pass
    except BadRequest as refused:
        status = refused.status
    assert status in (0, 400, 413, 431, 501, 505)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\nB: c\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_MAX_BYTES + 1), 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 9999999999999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n", 413),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * (HEAD_MAX_BYTES + 1), 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * HEAD_MAX_BYTES, 400),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(raw: bytes, status: int) -> None:
    assert refusal(raw) == status


def test_empty_lines_before_a_request_are_ignored() -> None:
    assert [incoming.head.method for incoming in parse(b"\r\n\r\n" + PLAIN)] == ["GET"]


@pytest.mark.parametrize(
    ("line", "keep_alive"),
    [
        ("HTTP/1.1\r\n", True),
        ("HTTP/1.1\r\nConnection: close\r\n", False),
        ("HTTP/1.0\r\n", False),
        ("HTTP/1.0\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_who_wants_to_keep_the_connection(line: str, keep_alive: bool) -> None:
    assert parse(f"GET / {line}\r\n".encode())[0].head.keep_alive is keep_alive


def test_a_client_that_waits_to_continue_is_told_once() -> None:
    parser = RequestParser()
    parser.feed(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert parser.next() is None
    assert parser.must_continue()
    assert not parser.must_continue()
    parser.feed(b"ok")
    incoming = parser.next()
    assert incoming is not None
    assert incoming.body == b"ok"
    parser.feed(SIZED[:-1])
    assert parser.next() is None
    assert not parser.must_continue()


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/orders", "/orders", {}),
        ("/orders?", "/orders", {}),
        ("/a%20b?c=%26&d=1+2&e", "/a b", {"c": "&", "d": "1 2", "e": ""}),
        ("/o?k=a&k=b&k=c", "/o", {"k": "a,b,c"}),
        ("http://host:1/x?y=1", "/x", {"y": "1"}),
        ("*", "*", {}),
    ],
)
def test_targets_are_split_into_path_and_query(target: str, path: str, query: dict[str, str]) -> None:
    assert split_target(target) == (path, query)


def test_a_response_is_written_with_its_length() -> None:
    response = Response(201, b"{}", (("Content-Type", "application/json"), ("Retry-After", "2")))
    raw = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nRetry-After: 2\r\nContent-Length: 2\r\n\r\n"
    assert serialise(response) == raw + b"{}"
    assert serialise(response, bodiless=True) == raw
    assert serialise(response, close=True).count(b"\r\nConnection: close\r\n") == 1


def test_an_answer_without_content_has_neither_body_nor_length() -> None:
    assert serialise(Response(204, b"ignored", ())) == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_a_status_that_has_no_name_is_still_written() -> None:
    assert serialise(Response(799, b"", ())).startswith(b"HTTP/1.1 799 ")
