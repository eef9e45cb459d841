import base64
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import Message
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks.webhooks import WebhookVerificationError as StandardVerificationError
from svix.webhooks import Webhook as SvixWebhook
from svix.webhooks import WebhookVerificationError as SvixVerificationError

from conftest import OpenThorn
from thornsdk import Digest, Secret, hook_hmac, standard_webhooks
from thornsdk.errors import InvalidSecret, InvalidSignature, InvalidValue
from thornsdk.receive import MAX_SIGNATURES, Received, Scheme, verify
from thornsdk.testing import Endpoint, FakeClock, Seen

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = Secret(SECRET).key
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
BODY = b'{"id":42}'
STANDARD_ONLY = [Scheme.STANDARD_WEBHOOKS]
HOOK_ONLY = [Scheme.HOOK_HMAC]

Send = Callable[..., Seen]


def standard(key: bytes = KEY, body: bytes = BODY, seconds: int = SECONDS) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(seconds),
        "webhook-signature": standard_webhooks(key, "msg_1", seconds, body),
    }


def hook(key: bytes = KEY, body: bytes = BODY) -> dict[str, str]:
    return {"Hook-HMAC": hook_hmac(key, body), "Hook-Delivery": "delivery", "Hook-Event": "order.created"}


def refused(headers: object, body: bytes = BODY, **options: object) -> str:
    given: dict[str, object] = {"secrets": SECRET, "now": NOW, **options}
    with pytest.raises(InvalidSignature) as caught:
        verify(headers, body, **given)  # type: ignore[arg-type]  # the tests give what callers may
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def send(endpoint: Endpoint, open_thorn: OpenThorn) -> Send:
    def send_one(secret: object = SECRET, **options: object) -> Seen:
        thorn = open_thorn(endpoint)
        thorn.subscribe("order.*", endpoint.url, secret=secret, **options)  # type: ignore[arg-type]
        assert thorn.event("order.created").send({"id": 42}).outcomes.delivered == 1
        return endpoint.seen[-1]

    return send_one


def test_what_is_sent_verifies_and_is_told(send: Send) -> None:
    seen = send()
    before = datetime.now(UTC) - timedelta(minutes=1)
    received = verify(seen.headers, seen.body, secrets=SECRET)
    assert received.scheme is Scheme.STANDARD_WEBHOOKS
    assert received.id == seen.header("Hook-Delivery") == seen.header("webhook-id")
    assert (received.event, received.body) == ("order.created", b'{"id":42}')
    assert UUID(received.subscription) == UUID(seen.header("Hook-Subscription"))
    assert received.sent_at is not None
    assert received.sent_at > before


@pytest.mark.parametrize("digest", list(Digest))
@pytest.mark.parametrize("secret", [SECRET, "a plain secret", "ünïcödé"])
def test_one_secret_verifies_both_headers(send: Send, digest: Digest, secret: str) -> None:
    seen = send(secret, digest=digest)
    for scheme in (Scheme.STANDARD_WEBHOOKS, Scheme.HOOK_HMAC):
        assert verify(seen.headers, seen.body, secrets=secret, accept=[scheme]).scheme is scheme


def test_what_is_sent_verifies_with_the_package_standardwebhooks(send: Send) -> None:
    seen = send()
    StandardWebhook(SECRET).verify(seen.body, dict(seen.headers))
    with pytest.raises(StandardVerificationError):
        StandardWebhook(Secret.generate().reveal()).verify(seen.body, dict(seen.headers))


def test_what_is_sent_verifies_with_the_package_svix(send: Send) -> None:
    seen = send()
    SvixWebhook(SECRET).verify(seen.body, dict(seen.headers))
    with pytest.raises(SvixVerificationError):
        SvixWebhook(Secret.generate().reveal()).verify(seen.body, dict(seen.headers))


def test_a_secret_that_we_made_verifies_with_both_packages(send: Send) -> None:
    secret = Secret.generate()
    seen = send(secret)
    StandardWebhook(secret.reveal()).verify(seen.body, dict(seen.headers))
    SvixWebhook(secret.reveal()).verify(seen.body, dict(seen.headers))


@pytest.mark.parametrize("known", [0, 1])
def test_while_secrets_are_rotated_the_new_and_the_old_one_verify(send: Send, known: int) -> None:
    secrets = [Secret.generate(), Secret.generate()]
    seen = send(secrets)
    verify(seen.headers, seen.body, secrets=secrets[known], accept=STANDARD_ONLY)
    StandardWebhook(secrets[known].reveal()).verify(seen.body, dict(seen.headers))
    SvixWebhook(secrets[known].reveal()).verify(seen.body, dict(seen.headers))


def test_hook_hmac_is_made_with_the_current_secret(send: Send) -> None:
    seen = send(["new", "old"])
    assert verify(seen.headers, seen.body, secrets="new", accept=HOOK_ONLY).body
    assert verify(seen.headers, seen.body, secrets=["newer", "new"], accept=HOOK_ONLY).body
    with pytest.raises(InvalidSignature):
        verify(seen.headers, seen.body, secrets="old", accept=HOOK_ONLY)


def test_the_time_of_the_senders_clock_is_signed(
    endpoint: Endpoint, open_thorn: OpenThorn, clock: FakeClock
) -> None:
    thorn = open_thorn(endpoint, clock=clock)
    thorn.subscribe("*", endpoint.url, secret=SECRET)
    thorn.event("order.created").send({})
    (seen,) = endpoint.seen
    received = verify(seen.headers, seen.body, secrets=SECRET, now=clock.now)
    assert received.sent_at == clock.now
    assert "86400 s old" in refused(seen.headers, seen.body, now=clock.now + timedelta(days=1))


@given(position=st.integers(0, len(BODY) - 1), change=st.integers(1, 255))
def test_a_body_that_was_changed_in_one_byte_is_refused(position: int, change: int) -> None:
    tampered = bytearray(BODY)
    tampered[position] ^= change
    assert refused(standard(), bytes(tampered)) == (
        "webhook-signature does not match: another secret, or a body that was changed on its way"
    )
    assert refused(hook(), bytes(tampered)) == (
        "Hook-HMAC does not match the body: another secret, or a body that was changed on its way"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("webhook-id", "msg_2"), ("webhook-timestamp", str(SECONDS + 1))]
)
def test_a_signed_header_that_was_changed_is_refused(name: str, value: str) -> None:
    assert refused({**standard(), name: value}).startswith("webhook-signature does not match")


@pytest.mark.parametrize("headers", [standard(b"another"), hook(b"another")])
def test_another_secret_is_refused(headers: dict[str, str]) -> None:
    assert "does not match" in refused(headers)


@pytest.mark.parametrize("age", [-300, -1, 0, 1, 300])
def test_a_message_within_tolerance_is_taken(age: int) -> None:
    received = verify(standard(), BODY, secrets=SECRET, now=NOW + timedelta(seconds=age))
    assert received.sent_at == NOW


@pytest.mark.parametrize(
    ("age", "message"),
    [
        (301, "the message is 301 s old; 300 s are tolerated"),
        (-301, "the message is 301 s ahead of time; 300 s are tolerated"),
        (86400, "the message is 86400 s old; 300 s are tolerated"),
    ],
)
def test_a_message_that_is_too_old_or_ahead_is_refused(age: int, message: str) -> None:
    assert refused(standard(), now=NOW + timedelta(seconds=age)) == message


def test_the_tolerance_can_be_chosen() -> None:
    later = NOW + timedelta(hours=1)
    assert verify(standard(), BODY, secrets=SECRET, now=later, tolerance=3600).body
    assert refused(standard(), now=later, tolerance=3599) == (
        "the message is 3600 s old; 3599 s are tolerated"
    )


def test_the_present_time_is_the_systems_where_no_other_is_given() -> None:
    seconds = int(datetime.now(UTC).timestamp())
    assert verify(standard(seconds=seconds), BODY, secrets=SECRET).body
    with pytest.raises(InvalidSignature, match="s old"):
        verify(standard(seconds=seconds - 3600), BODY, secrets=SECRET)


def test_a_replayed_message_has_the_same_id_and_a_hook_hmac_alone_has_no_time() -> None:
    assert verify(standard(), BODY, secrets=SECRET, now=NOW).id == "msg_1"
    assert verify(hook(), BODY, secrets=SECRET, now=NOW + timedelta(days=365)) == Received(
        scheme=Scheme.HOOK_HMAC,
        id="delivery",
        event="order.created",
        subscription=None,
        sent_at=None,
        body=BODY,
    )


def test_a_wrong_standard_webhooks_is_not_saved_by_a_right_hook_hmac() -> None:
    assert "webhook-signature does not match" in refused({**standard(b"another"), **hook()})


def test_only_the_schemes_that_are_accepted_count() -> None:
    both = {**standard(), **hook()}
    assert verify(both, BODY, secrets=SECRET, now=NOW, accept=HOOK_ONLY).scheme is Scheme.HOOK_HMAC
    assert refused(hook(), accept=STANDARD_ONLY) == (
        "the message is not signed: it has no webhook-signature header"
    )
    assert refused(standard(), accept=HOOK_ONLY) == "the message is not signed: it has no Hook-HMAC header"


def test_a_message_without_any_signature_is_refused() -> None:
    assert refused({"Content-Type": "application/json"}) == (
        "the message is not signed: it has no webhook-signature or Hook-HMAC header"
    )


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_standard_webhooks_needs_id_and_time(name: str) -> None:
    headers = standard()
    del headers[name]
    told = f"the message has webhook-signature but no {name} header"
    assert refused(headers) == refused({**headers, name: ""}) == told


@pytest.mark.parametrize(
    "text",
    ["soon", "-1", "1.5", f"+{SECONDS}", f" {SECONDS}", f"0{SECONDS}", "1e9", "1" * 12, f"{SECONDS}\n"],
)
def test_a_time_that_is_not_whole_seconds_is_refused(text: str) -> None:
    assert refused({**standard(), "webhook-timestamp": text}) == (
        "webhook-timestamp is not a number of whole seconds"
    )


@pytest.mark.parametrize(
    "given",
    [
        "",
        "v1",
        "v1,",
        ",",
        "v2,{right}",
        "v1a,{right}",
        "V1,{right}",
        "{right}",
        "v1,{right}x",
        "v1,{right},",
    ],
)
def test_a_signature_that_is_not_exactly_right_is_refused(given: str) -> None:
    right = standard()["webhook-signature"].removeprefix("v1,")
    headers = {**standard(), "webhook-signature": given.format(right=right)}
    assert refused(headers).startswith("webhook-signature does not match")


def test_one_right_signature_among_others_is_enough() -> None:
    headers = {**standard(), "webhook-signature": f"v1a,abc v1,wrong {standard()['webhook-signature']} v2,x"}
    assert verify(headers, BODY, secrets=["another", SECRET], now=NOW).body


@pytest.mark.parametrize(
    "given",
    ["", "not base64!", "AAAA", "é", base64.b64encode(b"x" * 48).decode(), f"{hook()['Hook-HMAC']}\n"],
)
def test_a_hook_hmac_that_is_none_is_refused(given: str) -> None:
    told = refused({"Hook-HMAC": given})
    assert told == (
        "the header Hook-HMAC is not ASCII"
        if given == "é"
        else "Hook-HMAC is not base64 of an HMAC with sha1, sha256 or sha512"
    )


@pytest.mark.parametrize(
    "name", ["webhook-id", "webhook-signature", "webhook-timestamp", "hook-hmac", "hook-event"]
)
def test_a_header_of_ours_that_stands_twice_is_refused(name: str) -> None:
    pairs = [*{**standard(), **hook()}.items(), (name.title(), "x")]
    assert refused(pairs) == f"the header {name.title()} stands twice"


def test_other_headers_may_stand_twice_and_hold_anything() -> None:
    pairs = [*standard().items(), ("Accept", "é\udcff"), ("Accept", "b")]
    assert verify(pairs, BODY, secrets=SECRET, now=NOW).body


@pytest.mark.parametrize("value", ["msg_\udcff", "msg_é"])
@pytest.mark.parametrize("name", ["webhook-id", "webhook-signature", "webhook-timestamp"])
def test_a_header_of_ours_that_is_not_ascii_is_refused(name: str, value: str) -> None:
    assert refused({**standard(), name: value}) == f"the header {name} is not ASCII"


@given(name=st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), value=st.text())
def test_no_changed_header_of_standard_webhooks_is_taken_or_breaks_anything(name: str, value: str) -> None:
    headers = standard()
    if value.split() != headers[name].split():
        refused({**headers, name: value})


@given(value=st.text())
def test_no_hook_hmac_that_was_changed_is_taken_or_breaks_anything(value: str) -> None:
    refused({**hook(), "Hook-HMAC": value})


def test_case_does_not_matter_in_the_names_of_headers() -> None:
    for change in (str.upper, str.title):
        headers = {change(name): value for name, value in standard().items()}
        assert verify(headers, BODY, secrets=SECRET, now=NOW).id == "msg_1"
        headers = {change(name): value for name, value in hook().items()}
        assert verify(headers, BODY, secrets=SECRET).event == "order.created"


def test_a_receiver_needs_a_secret() -> None:
    assert refused(standard(), secrets=[]) == "no secret or public key was given to verify with"
    assert refused(standard(), secrets=[], accept=STANDARD_ONLY) == "no secret was given to verify with"
    assert refused(standard(), accept=[]) == "no scheme was given to verify with"
    with pytest.raises(InvalidSecret, match="must not be empty"):
        verify(standard(), BODY, secrets="")


def test_text_is_not_taken_for_the_bytes_that_were_received() -> None:
    with pytest.raises(TypeError, match="the body must be the exact bytes that were received"):
        verify(standard(), BODY.decode(), secrets=SECRET)  # type: ignore[arg-type]


def test_what_was_received_hides_its_body() -> None:
    assert "42" not in repr(verify(hook(), BODY, secrets=SECRET))


def test_a_receiver_does_not_load_the_sending_side() -> None:
    code = (
        "import sys, thornsdk.receive; "
        "print([name for name in ('thornsdk.thorn', 'thornsdk.settings', 'urllib3', 'structlog', 'pluggy') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_headers_of_http_server_are_taken_as_they_are() -> None:
    headers = Message()
    headers["Hook-HMAC"] = hook_hmac(b"secret", b"{}")
    assert verify(headers, b"{}", secrets="secret").scheme is Scheme.HOOK_HMAC


def test_the_time_is_judged_before_any_signature() -> None:
    headers = {**standard(seconds=SECONDS - 301), "webhook-signature": "v1,another"}
    assert refused(headers) == "the message is 301 s old; 300 s are tolerated"


def test_a_message_has_so_many_signatures_at_most() -> None:
    headers = standard()
    right = headers["webhook-signature"]
    many = {**headers, "webhook-signature": " ".join(["v1a,AAAA"] * (MAX_SIGNATURES - 1) + [right])}
    assert verify(many, BODY, secrets=SECRET, now=NOW).id == "msg_1"
    too_many = {**many, "webhook-signature": f"{many['webhook-signature']} {right}"}
    assert refused(too_many) == "webhook-signature has 21 signatures; at most 20 may"


def test_a_present_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"'now' has no time zone, such as datetime.UTC"):
        verify(standard(), BODY, secrets=SECRET, now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize("tolerance", [float("nan"), -1, "300", None, timedelta(minutes=5)])
def test_a_tolerance_that_is_no_number_of_seconds_is_refused(tolerance: object) -> None:
    with pytest.raises(InvalidValue, match="the tolerance is a number of seconds from 0, not "):
        verify(standard(), BODY, secrets=SECRET, now=NOW, tolerance=tolerance)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "headers",
    [
        [(name.encode(), value.encode()) for name, value in standard().items()],
        {name: [value] for name, value in standard().items()},
        {**standard(), "x": None},
    ],
    ids=["bytes", "lists", "none"],
)
def test_headers_that_are_no_text_are_refused_with_what_to_do(headers: object) -> None:
    with pytest.raises(TypeError, match=r"headers are given as text, not as .* decode bytes as latin-1"):
        verify(headers, BODY, secrets=SECRET, now=NOW)  # type: ignore[arg-type]
