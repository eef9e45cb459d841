from http.client import HTTPException

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thornsdk.typing import Headers
from thornsdk_plugins.urllib3.framing import Framing, framing
from thornsdk_plugins.urllib3.heads import plain_head

CHUNKED = ("Transfer-Encoding", "chunked")
LENGTH = ("Content-Length", "4")
CLOSE = ("Connection", "close")


@pytest.mark.parametrize(
    ("status", "fields", "expected"),
    [
        (200, (LENGTH,), Framing(chunked=False, length=4, closes=False)),
        (200, (LENGTH, LENGTH), Framing(chunked=False, length=4, closes=False)),
        (200, (("Content-Length", "4, 4"),), Framing(chunked=False, length=4, closes=False)),
        (200, (CHUNKED,), Framing(chunked=True, length=None, closes=False)),
        (200, (("transfer-encoding", " Chunked "),), Framing(chunked=True, length=None, closes=False)),
        (200, (CHUNKED, LENGTH), Framing(chunked=True, length=None, closes=True)),
        (200, (), Framing(chunked=False, length=None, closes=True)),
        (204, (), Framing(chunked=False, length=0, closes=False)),
        (304, (LENGTH,), Framing(chunked=False, length=0, closes=False)),
        (204, (CHUNKED,), Framing(chunked=False, length=0, closes=True)),
        (101, (), Framing(chunked=False, length=0, closes=False)),
        (200, (LENGTH, CLOSE), Framing(chunked=False, length=4, closes=True)),
        (200, (LENGTH, ("Connection", "keep-alive, Close")), Framing(chunked=False, length=4, closes=True)),
        (200, (LENGTH, ("Connection", "keep-alive"), CLOSE), Framing(chunked=False, length=4, closes=True)),
    ],
)
def test_it_is_told_where_an_answer_ends(status: int, fields: Headers, expected: Framing) -> None:
    assert framing(status, fields, is_old=False) == expected


@pytest.mark.parametrize(
    ("fields", "closes"),
    [
        ((LENGTH,), True),
        ((LENGTH, ("Connection", "Keep-Alive")), False),
        ((LENGTH, ("Connection", "keep-alive"), CLOSE), True),
        ((CHUNKED, ("Connection", "keep-alive")), True),
    ],
)
def test_connections_of_http_1_0_close_unless_they_say_that_they_do_not(
    fields: Headers, closes: bool
) -> None:
    assert framing(200, fields, is_old=True).closes is closes


@pytest.mark.parametrize(
    "fields",
    [
        (("Transfer-Encoding", "gzip, chunked"), LENGTH),
        (("Transfer-Encoding", "gzip"), CHUNKED),
        (("Transfer-Encoding", "identity"), CHUNKED, LENGTH),
        (CHUNKED, CHUNKED),
        (("Transfer-Encoding", "chunked, chunked"),),
        (("Transfer-Encoding", ""), LENGTH),
        (LENGTH, ("Content-Length", "5")),
        (("Content-Length", "4, 5"),),
        (("Content-Length", "-4"),),
        (("Content-Length", "+4"),),
        (("Content-Length", "0_4"),),
        (("Content-Length", ""),),
        (("Content-Length", "4,"),),
        (("Content-Length", "9" * 19),),
    ],
)
def test_an_answer_that_ends_in_two_places_or_in_none_is_refused(fields: Headers) -> None:
    with pytest.raises(HTTPException):
        framing(200, fields, is_old=False)


VALUES = ["4", "4, 4", "+4", "", "chunked", "gzip, chunked", "close", "keep-alive", "keep-alive, close"]
NAMES = ["Content-Length", "Transfer-Encoding", "Connection", "Content-Encoding", "X-Other"]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4))
def test_the_short_way_through_a_head_agrees(fields: list[tuple[str, str]]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    head = plain_head(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode())
    if head is not None:
        expected = Framing(chunked=False, length=head.length, closes=False)
        assert framing(200, head.fields, is_old=False) == expected
