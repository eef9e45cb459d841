"""The receiving side with public keys: the v1a scheme of Standard Webhooks."""

import base64
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.vectors import standard_webhooks_vectors
from thornsdk import PublicKey, SigningKey, hook_hmac, standard_webhooks, standard_webhooks_v1a
from thornsdk.errors import InvalidKey, InvalidSignature, MissingPackageError
from thornsdk.receive import Scheme, verify

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
BODY = b'{"id":42}'
SECRET = "a secret"
KEY = SigningKey("whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
OTHER = SigningKey("whsk_n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=")
V1 = standard_webhooks(SECRET.encode(), "msg_1", SECONDS, BODY)
V1A = standard_webhooks_v1a(KEY, "msg_1", SECONDS, BODY)
HMAC = {"Hook-HMAC": hook_hmac(SECRET.encode(), BODY)}


def signed(*signatures: str) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(SECONDS),
        "webhook-signature": " ".join(signatures),
    }


def scheme(headers: dict[str, str], **options: Any) -> Scheme:
    return verify(headers, BODY, now=NOW, **options).scheme


def refused(headers: dict[str, str], body: bytes = BODY, **options: Any) -> str:
    with pytest.raises(InvalidSignature) as caught:
        verify(headers, body, now=NOW, **options)
    return str(caught.value)


@pytest.mark.parametrize("vector", standard_webhooks_vectors("v1a"))
def test_the_published_vector_verifies(vector: dict[str, Any]) -> None:
    headers = {
        "webhook-id": vector["id"],
        "webhook-timestamp": str(vector["timestamp"]),
        "webhook-signature": vector["signature"],
    }
    at = datetime.fromtimestamp(vector["timestamp"], UTC)
    received = verify(headers, vector["body"].encode(), public_keys=vector["public"], now=at)
    assert (received.scheme, received.id, received.sent_at) == (Scheme.ED25519, vector["id"], at)


@pytest.mark.parametrize(
    "known", [KEY.public_key, str(KEY.public_key), [OTHER.public_key, str(KEY.public_key)]]
)
def test_one_public_key_or_several_verify_without_a_secret(known: object) -> None:
    assert scheme(signed(V1, V1A), public_keys=known) is Scheme.ED25519


def test_while_keys_are_rotated_the_new_and_the_old_one_verify() -> None:
    headers = signed(standard_webhooks_v1a(OTHER, "msg_1", SECONDS, BODY), V1A)
    for key in (KEY, OTHER):
        assert scheme(headers, public_keys=key.public_key) is Scheme.ED25519


# Nothing weaker is taken for it


@pytest.mark.parametrize("headers", [signed(V1), {**signed(V1), **HMAC}, {**signed("v1a,"), **HMAC}])
def test_who_gives_public_keys_alone_accepts_v1a_alone(headers: dict[str, str]) -> None:
    assert refused(headers, public_keys=KEY.public_key) == (
        "webhook-signature has no v1a signature, and no other is accepted"
        if "v1a," not in headers["webhook-signature"]
        else "webhook-signature does not match: another public key, or a body that was changed on its way"
    )


def test_who_gives_public_keys_alone_does_not_fall_back_to_hook_hmac() -> None:
    told = "the message is not signed: it has no webhook-signature header"
    assert refused(HMAC, public_keys=KEY.public_key) == told


def test_who_gives_a_secret_alone_is_not_proved_anything_by_a_key() -> None:
    assert refused(signed(V1A), secrets=SECRET).startswith("webhook-signature does not match: another secret")
    assert scheme(signed(V1, V1A), secrets=SECRET) is Scheme.STANDARD_WEBHOOKS


def test_who_gives_both_is_told_which_of_them_proved_it() -> None:
    both: dict[str, Any] = {"secrets": SECRET, "public_keys": KEY.public_key}
    assert scheme(signed(V1, V1A), **both) is Scheme.ED25519
    assert scheme(signed(V1), **both) is Scheme.STANDARD_WEBHOOKS
    assert scheme(HMAC, **both) is Scheme.HOOK_HMAC
    told = refused(signed("v1,x", "v1a,x"), **both)
    assert told.startswith("webhook-signature does not match: another secret or public key, or a body")


@pytest.mark.parametrize(
    ("accept", "headers", "told"),
    [
        ([Scheme.ED25519], signed(V1), "webhook-signature has no v1a signature, and no other is accepted"),
        ([Scheme.ED25519], HMAC, "the message is not signed: it has no webhook-signature header"),
        (
            [Scheme.STANDARD_WEBHOOKS],
            signed(V1A),
            "webhook-signature does not match: another secret, or a body that was changed on its way",
        ),
        ([Scheme.HOOK_HMAC], signed(V1A), "the message is not signed: it has no Hook-HMAC header"),
        (
            [Scheme.HOOK_HMAC, Scheme.ED25519],
            {"Hook-Event": "order.created"},
            "the message is not signed: it has no webhook-signature or Hook-HMAC header",
        ),
    ],
)
def test_what_is_accepted_still_rules(accept: list[Scheme], headers: dict[str, str], told: str) -> None:
    assert refused(headers, secrets=SECRET, public_keys=KEY.public_key, accept=accept) == told


def test_what_is_accepted_needs_what_proves_it() -> None:
    only_keys: dict[str, Any] = {"public_keys": KEY.public_key, "accept": [Scheme.HOOK_HMAC]}
    assert refused(HMAC, **only_keys) == "no secret was given to verify with"
    only_secrets: dict[str, Any] = {"secrets": SECRET, "accept": [Scheme.ED25519]}
    assert refused(signed(V1A), **only_secrets) == "no public key was given to verify with"


# What is wrong with a message


@pytest.mark.parametrize("headers", [signed(V1A) | {"webhook-id": "msg_2"}, signed(V1A)])
def test_what_was_changed_is_refused(headers: dict[str, str]) -> None:
    changed = BODY if headers["webhook-id"] == "msg_2" else BODY + b" "
    told = "webhook-signature does not match: another public key, or a body that was changed on its way"
    assert refused(headers, changed, public_keys=KEY.public_key) == told
    assert refused(signed(V1A), public_keys=OTHER.public_key) == told


def test_a_message_that_is_too_old_is_refused() -> None:
    with pytest.raises(InvalidSignature, match="the message is 301 s old; 300 s are tolerated"):
        verify(signed(V1A), BODY, public_keys=KEY.public_key, now=NOW + timedelta(seconds=301))


MALFORMED = [
    "v1a",
    "v1a,",
    "v1a,!",
    "v1a,AAAA",
    f"v1a,{base64.b64encode(bytes(64)).decode()}",
    f"{V1A},",
    "v2,x",
    ",",
]


@pytest.mark.parametrize("entry", MALFORMED)
def test_a_malformed_signature_is_ignored_as_an_unknown_version_is(entry: str) -> None:
    assert scheme(signed(entry, V1A), public_keys=KEY.public_key) is Scheme.ED25519
    refused(signed(entry), public_keys=KEY.public_key)


@given(given=st.text(st.characters(max_codepoint=0x7F)))
def test_no_signature_but_the_right_one_is_taken_and_none_breaks_anything(given: str) -> None:
    refused(signed(f"v1a,{given}"), public_keys=KEY.public_key)


# What is wrong with a key


def test_a_private_key_is_refused_where_a_public_one_is_wanted() -> None:
    with pytest.raises(InvalidKey, match="this one is private") as caught:
        verify(signed(V1A), BODY, public_keys=KEY.reveal())
    assert KEY.reveal() not in str(caught.value)


def test_where_the_package_is_missing_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'thornsdk\[ed25519\]'"):
        verify(signed(V1A), BODY, public_keys=str(KEY.public_key))


@pytest.mark.parametrize(
    ("options", "loaded"), [("secrets='a'", False), (f"public_keys='{KEY.public_key}'", True)]
)
def test_who_verifies_with_secrets_does_not_pay_for_keys(options: str, loaded: bool) -> None:
    code = f"""
import sys, thornsdk.receive
assert "cryptography" not in sys.modules
try:
    thornsdk.receive.verify({{}}, b"", {options})
except thornsdk.errors.InvalidSignature:
    print("cryptography" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{loaded}\n"


def test_a_public_key_can_be_read_once_and_used_again() -> None:
    known = PublicKey(str(KEY.public_key))
    assert [scheme(signed(V1A), public_keys=known) for _ in range(2)] == [Scheme.ED25519] * 2
