"""The signer `ed25519`, and what keeps it apart from the signer whose place it takes."""

import base64
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from standardwebhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook

from conftest import OpenThorn
from support.vectors import standard_webhooks_vectors
from thornsdk import OldSecret, SigningKey, standard_webhooks, standard_webhooks_v1a
from thornsdk.errors import InvalidKey, SettingError, StageUnavailableError
from thornsdk.testing import Endpoint, Seen, make_delivery, make_subscription
from thornsdk_plugins.standard_webhooks import Ed25519Signer, StandardWebhooksSigner

NOW = datetime(2026, 1, 2, 3, 4, 5, 999999, tzinfo=UTC)
NODE = shutil.which("node")
CURRENT, OLD = SigningKey.generate(), SigningKey.generate()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

VERIFY_IN_NODE = Path(__file__).parent / "support" / "verify_v1a.mjs"


@pytest.fixture
def seen(endpoint: Endpoint, open_thorn: OpenThorn) -> Seen:
    """A request as it came over the wire, signed with one secret and two keys."""
    options = {"ed25519": {"keys": [CURRENT.reveal(), OLD.reveal()]}}
    thorn = open_thorn(endpoint, signers=["hook-hmac", "ed25519"], options=options)
    thorn.subscribe("*", endpoint.url, secret=SECRET)
    assert thorn.event("order.created").send({"snow": "☃"}).outcomes.delivered == 1
    return endpoint.seen[0]


def signed_content(seen: Seen) -> bytes:
    """What is signed, by the text of the specification."""
    return f"{seen.header('webhook-id')}.{seen.header('webhook-timestamp')}.".encode() + seen.body


def v1a(seen: Seen) -> list[bytes]:
    entries = (one.split(",") for one in seen.header("webhook-signature").split(" "))
    return [base64.b64decode(signature) for version, signature in entries if version == "v1a"]


@pytest.mark.parametrize("vector", standard_webhooks_vectors("v1a"))
def test_v1a_agrees_with_the_published_vector(vector: dict[str, Any]) -> None:
    key, body = SigningKey(vector["secret"]), vector["body"].encode()
    assert standard_webhooks_v1a(key, vector["id"], vector["timestamp"], body) == vector["signature"]


def test_it_signs_with_every_valid_secret_and_every_key() -> None:
    old = OldSecret("old", NOW + timedelta(hours=1))
    made = make_delivery(to=evolve(make_subscription(secrets="new"), old_secrets=[old]))
    what = (str(made.id), int(NOW.timestamp()), made.body)
    signatures = [standard_webhooks(secret, *what) for secret in (b"new", b"old")]
    signatures += [standard_webhooks_v1a(key, *what) for key in (CURRENT, OLD)]
    assert Ed25519Signer(keys=[CURRENT, OLD.reveal()]).sign(made, NOW) == (
        ("webhook-id", str(made.id)),
        ("webhook-timestamp", str(int(NOW.timestamp()))),
        ("webhook-signature", " ".join(signatures)),
    )


def test_another_implementation_of_ed25519_verifies_what_is_sent(seen: Seen) -> None:
    for key, signature in zip((CURRENT, OLD), v1a(seen), strict=True):
        verifier = VerifyKey(base64.b64decode(str(key.public_key).removeprefix("whpk_")))
        verifier.verify(signed_content(seen), signature)
        with pytest.raises(BadSignatureError):
            verifier.verify(signed_content(seen) + b" ", signature)


@pytest.mark.skipif(NODE is None, reason="the program node is not installed")
@pytest.mark.parametrize(("key", "verified"), [(CURRENT, True), (OLD, True), (SigningKey.generate(), False)])
def test_node_verifies_what_is_sent(seen: Seen, key: SigningKey, verified: bool) -> None:
    given = json.dumps(
        {"headers": dict(seen.headers), "body": seen.body.decode(), "key": str(key.public_key)}
    )
    ran = subprocess.run([str(NODE), VERIFY_IN_NODE], input=given.encode(), capture_output=True, check=True)
    assert ran.stdout.decode() == f"{str(verified).lower()}\n"


def test_receivers_that_know_the_secret_alone_notice_nothing(seen: Seen) -> None:
    StandardWebhook(SECRET).verify(seen.body, dict(seen.headers))
    SvixWebhook(SECRET).verify(seen.body, dict(seen.headers))


def test_the_signer_shows_none_of_its_keys() -> None:
    assert CURRENT.reveal()[5:20] not in repr(Ed25519Signer(keys=CURRENT))


def test_a_signer_without_a_key_is_refused() -> None:
    with pytest.raises(InvalidKey, match=r"there is no key to sign with; SigningKey\.generate\(\) makes one"):
        Ed25519Signer(keys=[])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, r"THORN_OPTIONS\['ed25519'\] is without 'keys'; it takes keys"),
        ({"keys": []}, r"is \(hidden\); it takes keys \(there is no key to sign with"),
        ({"keys": ["hunter2"]}, r"is \(hidden\); it takes keys \(a signing key is whsk_ and then base64"),
        ({"keys": [42]}, r"is \(hidden\); it takes keys \(a signing key is given as text that starts with"),
        ({"keys": 42}, r"is \(hidden\); it takes keys \(a signing key is given as text that starts with"),
    ],
)
def test_options_that_are_wrong_are_told_without_a_key(
    open_thorn: OpenThorn, options: dict[str, object], told: str
) -> None:
    with pytest.raises(SettingError, match=told) as caught:
        open_thorn(signers=["ed25519"], options={"ed25519": options})
    assert "hunter2" not in str(caught.value)


def test_where_the_package_is_missing_it_says_what_to_install(
    open_thorn: OpenThorn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    told = r"the signer 'ed25519' is unavailable .*: pip install 'thornsdk\[ed25519\]'"
    with pytest.raises(StageUnavailableError, match=told):
        open_thorn(signers=["ed25519"], options={"ed25519": {"keys": [CURRENT.reveal()]}})


def test_it_says_the_headers_that_the_signer_says_whose_place_it_takes() -> None:
    assert Ed25519Signer(keys=CURRENT).header_names == StandardWebhooksSigner().header_names
