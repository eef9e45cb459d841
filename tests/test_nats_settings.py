"""The transport `nats`: what is configured, what a URL may say, and what is published of a request."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.wire import request_to
from thornsdk import Reason, Thorn
from thornsdk.errors import (
    ConfigurationError,
    InvalidURL,
    InvalidValue,
    SettingError,
    StageUnavailableError,
    TransportError,
)
from thornsdk_plugins.nats import NatsTransport
from thornsdk_plugins.nats.messages import Publication
from thornsdk_plugins.nats.servers import Server, read_servers


@pytest.mark.parametrize(
    ("url", "server"),
    [
        (
            "nats://nats.internal",
            Server(host="nats.internal", port=4222, must_be_secure=False, user=None, password=None),
        ),
        (
            "tls://user:p%40ss@[::1]:4443/",
            Server(host="::1", port=4443, must_be_secure=True, user="user", password="p@ss"),
        ),
        (
            "nats://token@127.0.0.1",
            Server(host="127.0.0.1", port=4222, must_be_secure=False, user="token", password=None),
        ),
    ],
)
def test_a_server_is_read_from_its_url(url: str, server: Server) -> None:
    assert read_servers({"events": url}) == {"events": server}


def test_a_server_never_shows_its_password() -> None:
    server = read_servers({"events": "nats://user:hunter2@nats.internal"})["events"]
    assert "hunter2" not in repr(server)
    assert "user=" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@nats.internal",
        "nats://user:hunter2@",
        "nats://user:hunter2@nats.internal:port",
        "nats://user:hunter2@[nats.internal",
        "nats://user:hunter2@nats.internal/subject",
        "nats://user:hunter2@nats.internal?tls=1",
        "nats://user:hunter2@nats.internal#1",
        4222,
    ],
)
def test_a_url_of_a_server_that_cannot_be_used_is_not_quoted(url: object) -> None:
    with pytest.raises(InvalidValue, match="the server 'events' has no URL that can be used") as caught:
        NatsTransport(servers={"events": url})  # type: ignore[dict-item]  # as a setting may have it
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["nats://user:hunter2@nats.internal", "a:4222", "hunter2@a", "a/b"])
def test_a_name_that_looks_like_a_url_is_not_quoted(name: str) -> None:
    with pytest.raises(InvalidValue, match="the name comes first, and then the URL") as caught:
        NatsTransport(servers={name: "events"})
    assert name not in str(caught.value)


@pytest.mark.parametrize("name", ["Events", "a b", "", "a?b", 1])
def test_the_name_of_a_server_is_the_host_of_a_url(name: object) -> None:
    with pytest.raises(InvalidValue, match="is no name of a server"):
        read_servers({name: "nats://nats.internal"})  # type: ignore[dict-item]  # as a setting may have it


@pytest.mark.parametrize("servers", [{}, "nats://user:hunter2@nats.internal", ["nats://nats.internal"]])
def test_servers_are_a_mapping(servers: object) -> None:
    with pytest.raises(
        SettingError, match=r"THORN_OPTIONS\['nats'\] is \(hidden\); it takes servers"
    ) as caught:
        Thorn(transport="nats", options={"nats": {"servers": servers}})
    assert "hunter2" not in str(caught.value)


def test_without_servers_the_transport_is_not_built() -> None:
    with pytest.raises(SettingError, match=r"THORN_OPTIONS\['nats'\] is without 'servers'"):
        Thorn(transport="nats")


def test_settings_reach_the_transport() -> None:
    options = json.dumps({"nats": {"servers": {"events": "nats://nats.internal"}}})
    with Thorn(transport="urllib3,nats", options=json.loads(options)) as thorn:
        assert thorn.pipeline.by_scheme["nats"].user_agent.startswith("nats-py/")


@pytest.mark.parametrize(("width", "per_origin"), [(0, 1), (1, 0)])
def test_a_concurrency_that_sends_nothing_is_refused(width: int, per_origin: int) -> None:
    with pytest.raises(ConfigurationError, match="a concurrency of 0 sends nothing"):
        NatsTransport(
            servers={"events": "nats://nats.internal"},
            concurrency=width,
            concurrency_per_origin=per_origin,
        )


def test_authorities_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"the CA bundle /nowhere\.pem cannot be used"):
        NatsTransport(servers={"events": "nats://nats.internal"}, ca_bundle="/nowhere.pem")


def test_a_server_that_is_not_configured_is_never_connected_to() -> None:
    transport = NatsTransport(servers={"events": "nats://user:hunter2@nats.internal"})
    with pytest.raises(TransportError) as caught:
        transport.send(request_to("nats://evil.example.com/orders"))
    transport.close()
    assert str(caught.value) == (
        "address_forbidden: no server is called 'evil.example.com' here; "
        "THORN_OPTIONS['nats']['servers'] names them"
    )


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("orders.created", "orders.created"),
        ("Orders.%C3%A9", "Orders.é"),
        ("é.a%25b", "é.a%b"),
        ("a$_.b-c", "a$_.b-c"),
    ],
)
def test_the_path_of_a_url_is_the_subject(path: str, subject: str) -> None:
    assert Publication.of(request_to(f"nats://events/{path}")).subject == subject


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/orders.*",
        "/orders.>",
        "/a*b",
        "/a.b%20c",
        "/a%0D%0APUB%20b",
        "/a%00b",
        "/a..b",
        "/.a",
        "/a.",
        "/a/b",
        "/a%2Fb",
        "/a%22b",
        "/a%5Cb",
        "/a?b",
        "/%FF",
        "/$JS.API.STREAM.DELETE.orders",
        "/_INBOX.a",
        f"/{'a' * 513}",
        ":4222/orders",
    ],
)
def test_what_is_no_subject_is_refused(path: str) -> None:
    with pytest.raises(TransportError, match="its path is no subject to publish to") as caught:
        Publication.of(request_to(f"nats://events{path}"))
    assert caught.value.reason is Reason.RECIPIENT_REFUSED


@given(st.text())
def test_no_path_becomes_more_than_one_subject(path: str) -> None:
    try:
        subject = Publication.of(request_to(f"nats://events/{path}")).subject
    except (InvalidURL, TransportError):
        return
    assert subject.split() == [subject]
    assert subject.isprintable()
    assert not {"*", ">", "/"} & set(subject)
    assert "" not in subject.split(".")


def test_headers_of_one_name_are_joined() -> None:
    request = request_to("nats://events/orders", headers=(("Accept", "a"), ("Accept", "b")))
    assert Publication.of(request).headers == {"Accept": "a, b", "Nats-Msg-Id": str(request.id)}


@pytest.mark.parametrize("name", ["Nats-Rollup", "nats-expected-stream", "NATS-MSG-ID", "Status", "STATUS"])
def test_a_header_cannot_speak_for_the_server(name: str) -> None:
    with pytest.raises(TransportError, match=f"the header '{name}' is the server's own"):
        Publication.of(request_to("nats://events/orders", headers=((name, "all"),)))


def test_the_size_is_that_of_the_bytes_on_the_wire() -> None:
    published = Publication(subject="a", headers={"A": "b", "Cd": ""}, body=b"xyz")
    assert published.size == len(b"NATS/1.0\r\nA: b\r\nCd: \r\n\r\nxyz")


def test_without_nats_py_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)
    for name in [one for one in sys.modules if one.startswith(("nats.", "thornsdk_plugins.nats."))]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(StageUnavailableError, match=r"pip install 'thornsdk\[nats\]'"):
        Thorn(transport="nats", options={"nats": {"servers": {"events": "nats://nats.internal"}}})


def test_the_package_has_no_other_names() -> None:
    import thornsdk_plugins.nats as package

    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        package.Nothing  # type: ignore[attr-defined]  # noqa: B018 - on purpose
