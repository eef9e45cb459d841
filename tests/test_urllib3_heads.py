import http.client
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thornsdk_plugins.urllib3.heads import PlainHead, plain_head

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Key:  a: b \r\nConnection: Keep-Alive\r\n\r\n"


class Wire:
    """What http.client takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, _: str) -> BytesIO:
        return BytesIO(self.data)


def test_a_plain_head_is_read() -> None:
    fields = (("Content-Length", "2"), ("X-Key", "a: b"), ("Connection", "Keep-Alive"))
    assert plain_head(PLAIN + b"ok") == PlainHead(len(PLAIN), 200, fields, 2)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(PLAIN[:-1], id="not whole"),
        pytest.param(PLAIN.replace(b"1.1", b"1.0"), id="old version"),
        pytest.param(PLAIN.replace(b"200", b"103"), id="interim"),
        pytest.param(PLAIN.replace(b"200", b"204"), id="status without a body"),
        pytest.param(PLAIN.replace(b"200", b"20"), id="no status"),
        pytest.param(PLAIN.replace(b"\r\nX", b"\nX"), id="bare line feed"),
        pytest.param(PLAIN.replace(b"X-Key", b" X-Key"), id="folded"),
        pytest.param(PLAIN.replace(b"X-Key", b"X Key"), id="space in a name"),
        pytest.param(PLAIN.replace(b"a: b", b"\xc3\xa9"), id="not ASCII"),
        pytest.param(PLAIN.replace(b"a: b", b"\0"), id="control character"),
        pytest.param(PLAIN.replace(b"X-Key:  a: b", b"X-Key"), id="no colon"),
        pytest.param(PLAIN.replace(b": 2", b": 2, 2"), id="several lengths in one"),
        pytest.param(PLAIN.replace(b": 2", b": +2"), id="sign"),
        pytest.param(PLAIN.replace(b"X-Key:  a: b", b"Content-Length: 2"), id="several lengths"),
        pytest.param(PLAIN.replace(b"Content-Length", b"Content-Size"), id="no length"),
        pytest.param(PLAIN.replace(b"X-Key:  a: b", b"Transfer-Encoding: chunked"), id="chunked"),
        pytest.param(PLAIN.replace(b"Keep-Alive", b"close"), id="closes"),
        pytest.param(PLAIN.replace(b"X-Key", b"Upgrade"), id="upgrade"),
        pytest.param(PLAIN.replace(b"X-Key", b"X-Key: 1\r\nX" * 98 + b"-Key"), id="many headers"),
    ],
)
def test_what_is_not_plain_is_left_to_http_client(data: bytes) -> None:
    assert plain_head(data) is None


PLAIN_LINES = [b"Content-Length: 2", b"content-length:0", b"Connection: keep-alive", b"X-Empty:", b"X:\ta b "]
ODD_LINES = [
    b"Content-Length: 2x",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Keep-Alive: timeout=5",
    b"X-Odd : 1",
    b" folded",
    b"no colon",
    b"X: \x85\xa0",
    b"X: a\rb",
    b"X: \x0b\x1c",
    b"",
]
LINES = st.one_of(st.sampled_from(PLAIN_LINES), st.sampled_from(PLAIN_LINES), st.sampled_from(ODD_LINES))
STATUS = st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 404 a b", b"HTTP/1.1 204 ", b"HTTP/1.0 200 OK"])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\n"])


@given(status=STATUS, lines=st.lists(st.tuples(LINES, ENDS), max_size=6), body=st.binary(max_size=4))
def test_what_is_read_here_http_client_reads_alike(
    status: bytes, lines: list[tuple[bytes, bytes]], body: bytes
) -> None:
    data = status + b"\r\n" + b"".join(line + end for line, end in lines) + b"\r\n" + body
    head = plain_head(data)
    if head is None:
        return
    answer = http.client.HTTPResponse(Wire(data), method="POST")  # type: ignore[arg-type]
    answer.begin()
    assert (answer.status, answer.length) == (head.status, head.length)
    # http.client leaves the space behind a value, which is no part of it (RFC 9112, section 5.1).
    assert tuple((name, value.strip()) for name, value in answer.getheaders()) == head.fields
    assert (answer.chunked, answer.will_close, answer.fp.read()) == (False, False, data[head.size :])
