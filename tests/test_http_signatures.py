"""The signer `http-signatures`: RFC 9421, with Content-Digest of RFC 9530."""

import base64
import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import http_sf
import pytest
from attrs import evolve
from http_message_signatures import HTTPMessageVerifier, InvalidSignature
from hypothesis import given
from hypothesis import strategies as st

from conftest import OpenThorn
from support.http_messages import COVERED, SUBSCRIPTION, Message, by_key, by_secret
from support.vectors import vectors
from thornsdk import Delivery, OldSecret, Secret, SigningKey
from thornsdk.errors import InvalidValue
from thornsdk.receive import Scheme, verify
from thornsdk.testing import Endpoint, Seen, make_delivery, make_subscription
from thornsdk_plugins.http_signatures import HttpSignaturesSigner
from thornsdk_plugins.http_signatures.components import content_digest, signature_base
from thornsdk_plugins.http_signatures.fields import byte_sequence, dictionary, inner_list, integer, string

NOW = datetime(2026, 1, 2, 3, 4, 5, 999999, tzinfo=UTC)
KEY, OLD_KEY = SigningKey.generate(), SigningKey.generate()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def delivery_to(url: str = "https://example.com/", secrets: str = SECRET, body: bytes = b"body") -> Delivery:
    return make_delivery(body, to=make_subscription(url, id=SUBSCRIPTION, secrets=secrets))


def arrived(seen: Seen, origin: str) -> Message:
    return Message(f"{origin}{seen.path}", dict(seen.headers))


def signed(made: Delivery, **options: Any) -> Message:
    """Signs a delivery, and gives it as it would be sent."""
    headers = {
        "Content-Type": made.content_type,
        "Hook-Event": made.event,
        "Hook-Delivery": str(made.id),
        "Hook-Subscription": str(made.subscription.id),
        **dict(HttpSignaturesSigner(**options).sign(made, datetime.now(UTC))),
    }
    return Message(str(made.subscription.url), headers)


def parsed(written: str, kind: str) -> Any:
    """Reads a structured field as another implementation does."""
    return http_sf.parse(written.encode(), tltype=kind)


def check(verifier: HTTPMessageVerifier, message: Message, body: bytes = b"body", **options: Any) -> int:
    """Verifies a message with all that is to be covered, and gives how many signatures did."""
    return len(verifier.verify(message, body=body, require_components=COVERED, **options))


# Against the specifications


@pytest.mark.parametrize("vector", vectors("http_message_signatures"), ids=lambda vector: vector["section"])
def test_a_signature_is_that_of_the_rfc(vector: dict[str, Any]) -> None:
    components = tuple((name, value) for name, value in vector["components"])
    parameters = inner_list((name for name, _ in components), vector["parameters"])
    base = signature_base(components, parameters)
    assert base.decode().split("\n") == vector["base"]
    assert dictionary({vector["label"]: parameters}) == vector["signature_input"]
    if "secret" in vector:
        signature = hmac.digest(Secret(vector["secret"]).key, base, "sha256")
    else:
        signature = SigningKey(vector["key"]).sign(base)
    assert dictionary({vector["label"]: byte_sequence(signature)}) == vector["signature"]


@pytest.mark.parametrize("vector", vectors("content_digest"))
def test_a_content_digest_is_that_of_the_rfc(vector: dict[str, Any]) -> None:
    assert content_digest(vector["body"].encode()) == vector["content_digest"]


# What is sent


def test_it_covers_target_body_and_headers_with_the_secret_of_the_subscription() -> None:
    made = delivery_to("https://Example.com:8443/hooks/a?key=1&b", "a secret", b'{"id":42}')
    digest, given, signature = HttpSignaturesSigner().sign(made, NOW)
    parameters = (
        '("@method" "@authority" "@path" "@query" "content-digest" "content-type" "hook-event"'
        ' "hook-delivery" "hook-subscription")'
        ';created=1767323045;keyid="00000000-0000-0000-0000-000000000001"'
        ';alg="hmac-sha256";tag="thornsdk"'
    )
    base = (
        '"@method": POST\n'
        '"@authority": example.com:8443\n'
        '"@path": /hooks/a\n'
        '"@query": ?key=1&b\n'
        '"content-digest": sha-256=:F7TbBk4X9IeOORF35spiO3mJEfNAFLyeeJIJk9fdJ60=:\n'
        '"content-type": application/json\n'
        '"hook-event": order.created\n'
        f'"hook-delivery": {made.id}\n'
        '"hook-subscription": 00000000-0000-0000-0000-000000000001\n'
        f'"@signature-params": {parameters}'
    )
    expected = base64.b64encode(hmac.digest(b"a secret", base.encode(), "sha256")).decode()
    assert digest == ("Content-Digest", "sha-256=:F7TbBk4X9IeOORF35spiO3mJEfNAFLyeeJIJk9fdJ60=:")
    assert given == ("Signature-Input", f"sig1={parameters}")
    assert signature == ("Signature", f"sig1=:{expected}:")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/a%2Fb/ä?q=ü&q=%20",
        "https://example.com:443/",
        "http://[2001:db8::1]:8080/?",
        "https://xn--bcher-kva.example/a//b/../c",
    ],
)
def test_any_url_verifies_as_the_receiver_has_subscribed_it(url: str) -> None:
    message = signed(delivery_to(url))
    assert check(by_secret(SECRET), message) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hooks",
        "https://example.com:444/hooks",
        "https://example.com/other",
        "https://example.com/hooks?added=1",
    ],
)
def test_a_message_that_was_passed_on_to_another_url_is_refused(url: str) -> None:
    message = signed(delivery_to("https://example.com/hooks"), keys=KEY)
    assert check(by_key(KEY), message) == 1
    with pytest.raises(InvalidSignature):
        check(by_key(KEY), evolve(message, url=url))


def test_a_proxy_that_ends_tls_breaks_no_signature() -> None:
    message = signed(delivery_to("https://example.com/hooks"), keys=KEY)
    assert check(by_key(KEY), evolve(message, url="http://example.com/hooks")) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Type", "text/plain"),
        ("Hook-Event", "order.paid"),
        ("Hook-Delivery", str(UUID(int=9))),
        ("Hook-Subscription", str(UUID(int=9))),
    ],
)
def test_a_header_that_was_changed_is_refused(name: str, value: str) -> None:
    message = signed(delivery_to(), keys=KEY)
    with pytest.raises(InvalidSignature):
        check(by_key(KEY), evolve(message, headers={**message.headers, name: value}))


def test_a_time_that_was_changed_is_refused() -> None:
    message = signed(delivery_to(), keys=KEY)
    later = re.sub(
        r"created=(\d+)", lambda found: f"created={int(found[1]) - 1}", message.headers["Signature-Input"]
    )
    with pytest.raises(InvalidSignature):
        check(by_key(KEY), evolve(message, headers={**message.headers, "Signature-Input": later}))


def test_a_body_that_was_changed_is_refused_with_its_old_digest_and_with_a_new_one() -> None:
    message = signed(delivery_to(), keys=KEY)
    with pytest.raises(InvalidSignature):
        check(by_key(KEY), message, b"other")
    with pytest.raises(InvalidSignature):
        check(
            by_key(KEY),
            evolve(message, headers={**message.headers, "Content-Digest": content_digest(b"other")}),
            b"other",
        )


def test_each_key_makes_a_signature_that_receivers_find_by_its_thumbprint() -> None:
    message = signed(delivery_to(), keys=[KEY, OLD_KEY.reveal()])
    inputs = parsed(message.headers["Signature-Input"], "dictionary")
    found = {label: member[1]["keyid"] for label, member in inputs.items()}
    assert found == {"sig1": KEY.public_key.thumbprint, "sig2": OLD_KEY.public_key.thumbprint}
    assert check(by_key(KEY, OLD_KEY), message, expect_tag="thornsdk") == 2
    for label, key in (("sig1", KEY), ("sig2", OLD_KEY)):
        assert check(by_key(key), message, expect_tag="thornsdk", expect_label=label) == 1


def test_each_valid_secret_makes_a_signature() -> None:
    made = delivery_to(secrets="new")
    old = OldSecret("old", datetime.now(UTC) + timedelta(hours=1))
    ended = OldSecret("ended", datetime.now(UTC) - timedelta(hours=1))
    message = signed(evolve(made, subscription=evolve(made.subscription, old_secrets=[old, ended])))
    for label, secret in (("sig1", "new"), ("sig2", "old")):
        assert check(by_secret(secret), message, expect_tag="thornsdk", expect_label=label) == 1
    assert "sig3" not in message.headers["Signature"]


def test_for_a_url_that_is_not_of_http_the_headers_alone_are_covered() -> None:
    message = signed(delivery_to("amqp://broker.example/events"))
    covered = " ".join(f'"{name}"' for name in COVERED[4:])
    assert message.headers["Signature-Input"].startswith(f"sig1=({covered});created=")
    verifier = by_secret(SECRET)
    assert len(verifier.verify(message, body=b"body", require_components=COVERED[4:])) == 1


def test_the_signer_shows_no_key() -> None:
    assert KEY.reveal()[5:20] not in repr(HttpSignaturesSigner(keys=KEY))


# Over the wire


def test_all_signers_together_sign_one_request(endpoint: Endpoint, open_thorn: OpenThorn) -> None:
    keys = {"keys": [KEY.reveal()]}
    thorn = open_thorn(
        endpoint,
        signers=["hook-hmac", "ed25519", "http-signatures"],
        options={"ed25519": keys, "http-signatures": keys},
    )
    thorn.subscribe("*", f"{endpoint.url}?a=1", secret=SECRET)
    assert thorn.event("order.created").send({"id": 42}).outcomes.delivered == 1
    (seen,) = endpoint.seen
    public = KEY.public_key
    for scheme in Scheme:
        received = verify(seen.headers, seen.body, secrets=SECRET, public_keys=public, accept=[scheme])
        assert received.scheme is scheme
    assert check(by_key(KEY), arrived(seen, endpoint.origin), seen.body) == 1
    with pytest.raises(InvalidSignature):
        check(by_key(OLD_KEY), arrived(seen, endpoint.origin), seen.body)


def test_beside_the_default_signers_it_signs_with_the_secret(
    endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, signers=["hook-hmac", "standard-webhooks", "http-signatures"])
    subscription = thorn.subscribe("*", endpoint.url, secret=SECRET)
    assert thorn.event("order.created").send({"id": 42}).outcomes.delivered == 1
    (seen,) = endpoint.seen
    verifier = by_secret(SECRET, subscription.id)
    assert check(verifier, arrived(seen, endpoint.origin), seen.body) == 1


@pytest.mark.parametrize("part", ["/a[1]?b[]=1", "/100%?a=%zz%", "/é?ü=☃", "/%7Ea//b;c?d??"])
def test_it_verifies_with_the_url_that_the_subscription_gives(
    part: str, transport_kind: str, endpoint: Endpoint, open_thorn: OpenThorn
) -> None:
    thorn = open_thorn(endpoint, signers=["http-signatures"], transport=transport_kind)
    subscription = thorn.subscribe("*", endpoint.origin + part, secret=SECRET)
    assert thorn.event("order.created").send({"id": 42}).outcomes.delivered == 1
    (seen,) = endpoint.seen
    assert str(subscription.url) == f"{endpoint.origin}{seen.path}"
    message = Message(str(subscription.url), dict(seen.headers))
    assert check(by_secret(SECRET, subscription.id), message, seen.body) == 1


# Structured fields


@given(text=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_a_string_is_read_as_it_was_written(text: str) -> None:
    assert parsed(string(text), "item") == (text, {})


def test_quotes_and_backslashes_are_escaped() -> None:
    assert string(r'a "b" \c') == r'"a \"b\" \\c"'


@given(text=st.text(st.characters(exclude_categories=()) | st.sampled_from("\t\n\x7f\x1f"), min_size=1))
def test_what_a_string_cannot_hold_is_refused(text: str) -> None:
    if not all(" " <= one <= "~" for one in text):
        with pytest.raises(InvalidValue, match="visible ASCII characters"):
            string(text)


@given(data=st.binary())
def test_bytes_are_read_as_they_were_written(data: bytes) -> None:
    assert parsed(byte_sequence(data), "item") == (data, {})


@given(number=st.integers(-(10**15) + 1, 10**15 - 1))
def test_an_integer_is_read_as_it_was_written(number: int) -> None:
    assert parsed(integer(number), "item") == (number, {})


@pytest.mark.parametrize("number", [10**15, -(10**15)])
def test_an_integer_that_is_too_long_is_refused(number: int) -> None:
    with pytest.raises(InvalidValue, match="no more than 15 digits"):
        integer(number)


texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=9)
keys = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,9}", fullmatch=True)


@given(
    members=st.dictionaries(
        keys,
        st.tuples(st.lists(texts, max_size=3), st.dictionaries(keys, texts | st.integers(0, 9), max_size=3)),
        min_size=1,
        max_size=3,
    )
)
def test_a_dictionary_of_inner_lists_is_read_as_it_was_written(
    members: dict[str, tuple[list[str], dict[str, str | int]]],
) -> None:
    written = dictionary({key: inner_list(items, params) for key, (items, params) in members.items()})
    expected: Any = {
        key: ([(item, {}) for item in items], params) for key, (items, params) in members.items()
    }
    assert parsed(written, "dictionary") == expected
