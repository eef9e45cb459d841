import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.wire import request_to
from thornsdk.errors import InvalidHeader
from thornsdk.model import check_header, check_signed, custom_headers

VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F))


@pytest.mark.parametrize(
    "name", ["", "X Y", "X:Y", "X\n", "\nX", "X\x00", "Ä", "(X)", "X@Y", '"X"', "X/Y", "X,"]
)
def test_a_name_that_is_not_a_token_is_refused(name: str) -> None:
    with pytest.raises(InvalidHeader) as caught:
        check_header(name, "value")
    assert str(caught.value) == f"{name!r} cannot be the name of a header (RFC 9110, section 5.1)"


@pytest.mark.parametrize(
    "value",
    [
        "hunter2\r\nX: y",
        "hunter2\n",
        "\nhunter2",
        " hunter2",
        "hunter2 ",
        "\thunter2",
        "hunter2\t",
        "hunter2é",
        "hunter2\x00",
        "hunter2\x7f",
        "hunter2\x0b2",
        " ",
    ],
)
def test_a_value_that_cannot_be_sent_is_refused_and_never_quoted(value: str) -> None:
    with pytest.raises(InvalidHeader) as caught:
        check_header("X-Key", value)
    assert str(caught.value) == (
        "the value of the header 'X-Key' cannot be sent: it may hold visible ASCII characters, with spaces "
        "and tabs between them (RFC 9110, section 5.5)"
    )


@given(
    name=st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1),
    words=st.lists(st.text(VISIBLE, min_size=1)),
    space=st.sampled_from([" ", "\t", "  ", " \t "]),
)
def test_tokens_with_visible_values_are_taken(name: str, words: list[str], space: str) -> None:
    check_header(name, space.join(words))


@given(value=st.text())
def test_a_value_that_is_taken_can_never_break_a_header_line(value: str) -> None:
    try:
        check_header("X", value)
    except InvalidHeader:
        return
    assert value.isascii()
    assert value == value.strip()
    assert all(char == "\t" or char.isprintable() for char in value)


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "content-length",
        "Content-Type",
        "USER-AGENT",
        "Transfer-Encoding",
        "TE",
        "Connection",
        "Expect",
        "Hook-HMAC",
        "hook-anything",
        "Webhook-Id",
        "WEBHOOK-SIGNATURE",
    ],
)
def test_headers_of_ours_and_of_http_cannot_be_changed(name: str) -> None:
    with pytest.raises(InvalidHeader) as caught:
        custom_headers({name: "hunter2"})
    assert str(caught.value) == (
        f"the header {name!r} is set by the library; a subscription cannot change it"
    )


def test_a_header_given_twice_is_refused_whatever_its_case() -> None:
    with pytest.raises(InvalidHeader, match=r"^the header 'x-key' is given twice$"):
        custom_headers([("X-Key", "1"), ("x-key", "2")])


def test_headers_are_taken_as_mapping_or_pairs_in_their_order() -> None:
    expected = (("X-B", "1"), ("X-A", ""), ("Authorization", "Bearer t"))
    assert custom_headers(dict(expected)) == expected
    assert custom_headers(list(expected)) == expected


def test_pairs_from_json_become_tuples_so_that_they_stay_as_they_are() -> None:
    from_json: list[tuple[str, str]] = [["X-A", "1"]]  # type: ignore[list-item]
    assert hash(custom_headers(from_json)) == hash((("X-A", "1"),))


NAMES = st.sampled_from(["webhook-id", "Webhook-Id", "X-Key", "Hook-Event", "Host", "X Y", "X\nY", "X:", ""])
VALUES = st.sampled_from(["", "a", "a b", " a", "a\n", "a\nX: b", "a\r\nX:b", "\0", "\xe9", "a:b"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_a_request_has_headers_exactly_where_each_of_them_can_be_sent(
    headers: list[tuple[str, str]],
) -> None:
    given = tuple(headers)
    if all(_can_be_sent(name, value) for name, value in given):
        assert request_to("http://127.0.0.1/", headers=given).headers == given
    else:
        with pytest.raises(InvalidHeader):
            request_to("http://127.0.0.1/", headers=given)


def _can_be_sent(name: str, value: str) -> bool:
    try:
        check_header(name, value)
    except InvalidHeader:
        return False
    return name != "Host"


@given(st.lists(NAMES, max_size=4))
def test_headers_of_signers_are_refused_exactly_where_a_name_is_ours_or_stands_twice(
    names: list[str],
) -> None:
    headers = [(name, "x") for name in names]
    if {"Hook-Event", "Host"}.isdisjoint(names) and len({name.lower() for name in names}) == len(names):
        assert check_signed(headers) == tuple(headers)
    else:
        with pytest.raises(InvalidHeader, match=r"is set by the library; no stage|comes twice"):
            check_signed(headers)


@pytest.mark.parametrize("header", [("X-A", b"YWJj"), ("X-A", 1), ("X-A", None), (b"X-A", "1")])
def test_a_header_that_is_no_text_is_refused(header: tuple[str, str]) -> None:
    with pytest.raises(TypeError):
        request_to("http://127.0.0.1/", headers=(header,))


@pytest.mark.parametrize("name", ["Host", "content-length", "TRANSFER-ENCODING"])
def test_what_says_where_a_request_ends_is_left_to_the_transport(name: str) -> None:
    with pytest.raises(InvalidHeader, match=f"the header '{name}' is set by the transport"):
        request_to("http://127.0.0.1/", headers=(("X-A", "1"), (name, "1")))


BREAKERS = ["\r\n", "\n", "\r", "\0", "\r\n\r\n", "\r\nContent-Length: 0", "\nHost: evil.example"]
PLAIN = st.text("abcXYZ09-_", max_size=5)


@given(st.text("abcXYZ09-_", min_size=1, max_size=5), st.sampled_from(BREAKERS), PLAIN, st.booleans())
def test_no_request_has_a_header_that_breaks_a_line(
    before: str, breaker: str, after: str, in_name: bool
) -> None:
    broken = before + breaker + after
    header = (broken, "x") if in_name else ("X-A", broken)
    with pytest.raises(InvalidHeader):
        request_to("http://127.0.0.1/", headers=(("X-First", "1"), header, ("X-Last", "1")))
