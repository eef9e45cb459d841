import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thornsdk import URL, Origin
from thornsdk.errors import InvalidURL


@pytest.mark.parametrize(
    ("text", "whole", "origin", "target"),
    [
        ("https://example.com", "https://example.com/", ("https", "example.com", 443), "/"),
        ("http://example.com/a", "http://example.com/a", ("http", "example.com", 80), "/a"),
        ("HTTPS://Example.COM/A", "https://example.com/A", ("https", "example.com", 443), "/A"),
        ("https://example.com:443/", "https://example.com/", ("https", "example.com", 443), "/"),
        ("http://example.com:443/", "http://example.com:443/", ("http", "example.com", 443), "/"),
        ("https://a.example:08443/", "https://a.example:8443/", ("https", "a.example", 8443), "/"),
        ("https://a.example?key=1", "https://a.example/?key=1", ("https", "a.example", 443), "/?key=1"),
        ("https://a.example/a?", "https://a.example/a", ("https", "a.example", 443), "/a"),
        ("https://a.example//a", "https://a.example//a", ("https", "a.example", 443), "//a"),
        ("https://example.com./", "https://example.com./", ("https", "example.com.", 443), "/"),
        ("https://a_b.example/", "https://a_b.example/", ("https", "a_b.example", 443), "/"),
        ("https://xn--bcher-kva.de/", "https://xn--bcher-kva.de/", ("https", "xn--bcher-kva.de", 443), "/"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/", ("http", "127.0.0.1", 8080), "/"),
        ("http://0x7f.1/", "http://0x7f.1/", ("http", "0x7f.1", 80), "/"),
        ("http://[::1]/", "http://[::1]/", ("http", "::1", 80), "/"),
        ("http://[2001:DB8:0::1]:8080/", "http://[2001:db8::1]:8080/", ("http", "2001:db8::1", 8080), "/"),
        ("https://a.b/é?ü=☃", "https://a.b/%C3%A9?%C3%BC=%E2%98%83", ("https", "a.b", 443), None),
        ("https://a.b/a%20b?c=%2F&d=/?", "https://a.b/a%20b?c=%2F&d=/?", ("https", "a.b", 443), None),
        ("https://a.b/@a:b;c=1", "https://a.b/@a:b;c=1", ("https", "a.b", 443), "/@a:b;c=1"),
        ('https://a.b/<">', "https://a.b/%3C%22%3E", ("https", "a.b", 443), "/%3C%22%3E"),
        ("https://a.b/a[1]?b[]=1", "https://a.b/a%5B1%5D?b%5B%5D=1", ("https", "a.b", 443), None),
        ("https://a.b/100%?a=%zz%", "https://a.b/100%25?a=%25zz%25", ("https", "a.b", 443), None),
        ("https://a.b/%%41%4", "https://a.b/%25%41%254", ("https", "a.b", 443), None),
        ("https://a.b/%c3%A9", "https://a.b/%c3%A9", ("https", "a.b", 443), None),
        ("kafka://broker/topic", "kafka://broker/topic", ("kafka", "broker", 0), "/topic"),
        ("x-y+z.1://broker:99/t", "x-y+z.1://broker:99/t", ("x-y+z.1", "broker", 99), "/t"),
    ],
)
def test_a_url_is_read_once(text: str, whole: str, origin: tuple[str, str, int], target: str | None) -> None:
    url = URL.parse(text)
    assert str(url) == whole
    assert url.target == (target or whole.removeprefix(f"{origin[0]}://{origin[1]}"))
    assert url.origin == Origin(*origin)
    assert (url.scheme, url.host, url.port) == origin


# RFC 3986, appendix A: path and query.
PCHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
TARGET = re.compile(rf"/(?:{PCHAR}|/)*(?:\?(?:{PCHAR}|[/?])*)?")

NOT_SENDABLE = {
    "it has a space, a control character, a backslash or a lone surrogate in it": [
        "https://example.com/hunter2\n",
        "https://example.com/\r\nHook-Event: hunter2",
        "\thttps://example.com/hunter2",
        "https://example.com/hunter2 a",
        "https://example.com/\x00hunter2",
        "https://example.com/\x7fhunter2",
        "https://example.com\\@hunter2.example/",
        "https://example.com/hunter2\udcff",
    ],
    "it has a fragment (#…), which is never sent": [
        "https://example.com/#hunter2",
        "https://example.com/?a=hunter2#",
        "https://example.com#@hunter2.example/",
    ],
    "it must start with a scheme, as in https://example.com/hooks": [
        "",
        "hunter2",
        "example.com/hunter2",
        "//example.com/hunter2",
        "1http://example.com/hunter2",
        "ht_tp://example.com/hunter2",
        "://example.com/hunter2",
    ],
    "it has a user name or password in it; a secret header or the signature serves that end": [
        "https://hunter2@example.com/",
        "https://user:hunter2@example.com/",
        "https://@example.com/hunter2",
        "https://:hunter2@example.com/",
        "https://user:hunter2@[::1]/",
        "https://example.com:443@hunter2.example/",
    ],
    "it has no host": [
        "https://",
        "https:///hunter2",
        "https:hunter2",
        "https://:443/hunter2",
        "https://?hunter2",
        "mailto:hunter2@example.com",
        "data:text/plain,hunter2",
    ],
    "its host is malformed": [
        "https://[::1/hunter2",
        "https://::1]/hunter2",
        "https://hunter2[::1]/",
        "https://[::1]hunter2/",
        "https://hunter2[/",
    ],
    "its host is not ASCII; write it in the xn-- form": [
        "https://bücher.example/hunter2",
        "https://\u212aelvin.example/hunter2",
        "https://\uff45xample.com/hunter2",
        "https://example\u3002com/hunter2",
    ],
    "its host is not a name or address": [
        "https://exa%6dple.com/hunter2",
        "https://.example.com/hunter2",
        "https://example..com/hunter2",
        "https://-example.com/hunter2",
        "https://example-.com/hunter2",
        "https://exam*ple.com/hunter2",
        "https://exam,ple.com/hunter2",
        "https://./hunter2",
        "https://" + "a" * 255 + "/hunter2",
    ],
    "its host is not an IPv6 address": [
        "https://[127.0.0.1]/hunter2",
        "https://[v1.hunter2]/",
        "https://[1::2::3]/hunter2",
        "https://[hunter2]/",
    ],
    "its address has a zone, which means something on one machine only": [
        "https://[fe80::1%eth0]/hunter2",
        "https://[fe80::1%25eth0]/hunter2",
        "https://[::1%]/hunter2",
    ],
    "its port is not a number from 1 to 65535": [
        "https://example.com:/hunter2",
        "https://example.com:0/hunter2",
        "https://example.com:65536/hunter2",
        "https://example.com:-1/hunter2",
        "https://example.com:+443/hunter2",
        "https://example.com:44_3/hunter2",
        "https://example.com:https/hunter2",
        "https://example.com:1:2/hunter2",
        "https://[::1]:/hunter2",
        "https://[::1]:443:1/hunter2",
    ],
}


@pytest.mark.parametrize(
    ("text", "problem"), [(text, problem) for problem, texts in NOT_SENDABLE.items() for text in texts]
)
def test_what_cannot_be_sent_to_is_refused_and_never_quoted(text: str, problem: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        URL.parse(text)
    told = str(caught.value)
    # Python releases differ in how early they meet a bad bracket.
    bracketed = "this URL cannot be used: its host is malformed" if "[" in text else None
    assert told in {f"this URL cannot be used: {problem}", bracketed}
    assert "hunter2" not in told
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_longest_host_is_taken() -> None:
    assert URL.parse("https://" + "a" * 254 + "/").host == "a" * 254


def test_a_url_is_taken_as_it_is() -> None:
    url = URL.parse("https://example.com/hooks")
    assert URL.parse(url) is url


@given(text=st.text(st.characters(codec="utf-8") | st.sampled_from("%[]?/1a"), max_size=30))
def test_any_path_and_query_are_read_or_refused_and_reading_again_changes_nothing(text: str) -> None:
    try:
        url = URL.parse(f"https://example.com/{text}")
    except InvalidURL:
        return
    assert URL.parse(str(url)) == url
    assert TARGET.fullmatch(url.target)
    assert url.origin == Origin("https", "example.com", 443)


@given(text=st.text("htps:/[]@#?.%1aé\\-_", max_size=30))
def test_any_text_is_read_or_refused_with_our_own_error(text: str) -> None:
    try:
        url = URL.parse(text)
    except InvalidURL:
        return
    assert str(url).startswith(f"{url.scheme}://")
    assert "@" not in str(url).split("/")[2]


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (Origin("https", "example.com", 443), "https://example.com"),
        (Origin("http", "example.com", 443), "http://example.com:443"),
        (Origin("https", "::1", 443), "https://[::1]"),
        (Origin("https", "::1", 8443), "https://[::1]:8443"),
        (Origin("kafka", "broker", 0), "kafka://broker"),
    ],
)
def test_an_origin_is_written_without_its_default_port(origin: Origin, text: str) -> None:
    assert str(origin) == text
    assert origin.authority == text.removeprefix(f"{origin.scheme}://")


def test_the_repr_of_a_url_shows_the_origin_alone() -> None:
    shown = repr(URL.parse("https://example.com/hunter2?key=hunter2"))
    assert shown == "URL(origin=Origin(scheme='https', host='example.com', port=443))"


def test_origins_sort_by_scheme_then_host_then_port() -> None:
    first, second, third, fourth = (
        Origin("http", "b", 80),
        Origin("https", "a", 1),
        Origin("https", "a", 2),
        Origin("https", "b", 1),
    )
    assert sorted([fourth, second, first, third]) == [first, second, third, fourth]


@pytest.mark.parametrize("part", ["", "/a b", "/a\r\nX: b", "/ü", "/\0"])
def test_a_url_that_is_made_of_parts_has_nothing_in_it_that_ends_a_line(part: str) -> None:
    with pytest.raises(InvalidURL, match="a part of it has a character that cannot be sent"):
        URL("http://a.example/", Origin("http", "a.example", 80), part)
    with pytest.raises(InvalidURL, match="a part of it has a character that cannot be sent"):
        Origin("http", part, 80)
