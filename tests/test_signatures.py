import base64
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from conftest import OpenThorn
from support.vectors import standard_webhooks_vectors, vectors
from thornsdk import Delivery, Digest, OldSecret, Secret, Subscription, hook_hmac, standard_webhooks
from thornsdk.testing import Endpoint, FakeClock
from thornsdk_plugins.hook_hmac import HookHmacSigner
from thornsdk_plugins.standard_webhooks import StandardWebhooksSigner

NOW = datetime(2026, 1, 2, 3, 4, 5, 999999, tzinfo=UTC)
OPENSSL = shutil.which("openssl")


def delivery(secrets: list[str], digest: str = "sha256", body: bytes = b"body") -> Delivery:
    subscription = Subscription(
        id=UUID(int=1), patterns="*", url="https://example.com/", secrets=secrets, digest=digest
    )
    return Delivery(
        message_id=UUID(int=2),
        event="order.created",
        created_at=NOW,
        sender=None,
        subscription=subscription,
        content_type="application/json",
        body=body,
    )


@pytest.mark.parametrize("vector", vectors("hook_hmac"))
def test_hook_hmac_agrees_with_the_published_vectors(vector: dict[str, Any]) -> None:
    key = Secret(vector["secret"]).key
    assert hook_hmac(key, vector["body"].encode(), Digest(vector["digest"])) == vector["hook_hmac"]


def test_the_vectors_cover_every_digest() -> None:
    assert {vector["digest"] for vector in vectors("hook_hmac")} == set(Digest)


def test_hook_hmac_takes_sha256_where_nothing_else_is_asked() -> None:
    assert hook_hmac(b"key", b"body") == hook_hmac(b"key", b"body", Digest.SHA256)


@pytest.mark.parametrize("vector", standard_webhooks_vectors("v1"))
def test_standard_webhooks_agrees_with_the_published_vectors(vector: dict[str, Any]) -> None:
    key = Secret(vector["secret"]).key
    got = standard_webhooks(key, vector["id"], vector["timestamp"], vector["body"].encode())
    assert got == vector["signature"]


@pytest.mark.parametrize("vector", vectors("hook_hmac"))
def test_the_signer_signs_the_body_with_the_digest_of_the_subscription(vector: dict[str, Any]) -> None:
    made = delivery([vector["secret"], "old"], vector["digest"], vector["body"].encode())
    assert HookHmacSigner().sign(made, NOW) == (("Hook-HMAC", vector["hook_hmac"]),)


def test_standard_webhooks_signs_with_every_secret_in_whole_seconds_under_the_id_of_the_delivery() -> None:
    made = delivery(["new", "old"])
    seconds = 1767323045
    signatures = [standard_webhooks(key, str(made.id), seconds, b"body") for key in (b"new", b"old")]
    assert StandardWebhooksSigner().sign(made, NOW) == (
        ("webhook-id", str(made.id)),
        ("webhook-timestamp", str(seconds)),
        ("webhook-signature", " ".join(signatures)),
    )


def test_an_old_secret_signs_beside_the_current_one_until_it_ends() -> None:
    made = delivery(["new"])
    old = OldSecret("old", NOW + timedelta(hours=1))
    rotated = evolve(made, subscription=evolve(made.subscription, old_secrets=[old]))
    before, after = NOW + timedelta(minutes=59), NOW + timedelta(hours=1)
    signer = StandardWebhooksSigner()
    assert signer.sign(rotated, before) == signer.sign(delivery(["new", "old"]), before)
    assert signer.sign(rotated, after) == signer.sign(made, after)
    assert HookHmacSigner().sign(rotated, before) == HookHmacSigner().sign(made, before)


@pytest.mark.skipif(OPENSSL is None, reason="the program openssl is not installed")
@pytest.mark.parametrize("digest", list(Digest))
@pytest.mark.parametrize("secret", ["a plain secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_openssl_verifies_what_is_sent(
    endpoint: Endpoint, open_thorn: OpenThorn, clock: FakeClock, digest: Digest, secret: str
) -> None:
    thorn = open_thorn(endpoint, clock=clock)
    thorn.subscribe("*", endpoint.url, secret=secret, digest=digest)
    thorn.event("order.created").send({"snow": "☃"})
    (seen,) = endpoint.seen
    key = f"hexkey:{Secret(secret).key.hex()}"
    command = [str(OPENSSL), "dgst", f"-{digest}", "-mac", "HMAC", "-macopt", key, "-binary"]
    computed = subprocess.run(command, input=seen.body, capture_output=True, check=True).stdout
    assert seen.header("Hook-HMAC") == base64.b64encode(computed).decode()
