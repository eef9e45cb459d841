"""The signatures of bodies, as pure functions over exact bytes. Senders and receivers share them."""

import base64
import hashlib
import hmac

from thornsdk.model import Digest, SigningKey

HOOK_HMAC = "Hook-HMAC"
HOOK_EVENT = "Hook-Event"
HOOK_DELIVERY = "Hook-Delivery"
HOOK_SUBSCRIPTION = "Hook-Subscription"
WEBHOOK_ID = "webhook-id"
WEBHOOK_TIMESTAMP = "webhook-timestamp"
WEBHOOK_SIGNATURE = "webhook-signature"

_HASHES = {Digest.SHA1: hashlib.sha1, Digest.SHA256: hashlib.sha256, Digest.SHA512: hashlib.sha512}


def hook_hmac(key: bytes, body: bytes, digest: Digest = Digest.SHA256) -> str:
    """Returns the value of ``Hook-HMAC``: base64 of the HMAC over the body, as Thorn defined it.

    Args:
        key: The secret's bytes.
        body: The exact bytes that are sent.
        digest: The hash function.
    """
    return base64.b64encode(hmac.digest(key, body, _HASHES[digest])).decode()


def standard_webhooks(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Returns one signature of ``webhook-signature``, in the v1 scheme of the Standard Webhooks spec.

    Args:
        key: The secret's bytes.
        message_id: The value of ``webhook-id``.
        timestamp: The value of ``webhook-timestamp``: whole seconds since 1970-01-01 UTC.
        body: The exact bytes that are sent.
    """
    signed = standard_webhooks_content(message_id, timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def standard_webhooks_v1a(key: SigningKey, message_id: str, timestamp: int, body: bytes) -> str:
    """Returns one signature of ``webhook-signature``, in the v1a scheme of the Standard Webhooks spec.

    Args:
        key: The application's key.
        message_id: The value of ``webhook-id``.
        timestamp: The value of ``webhook-timestamp``: whole seconds since 1970-01-01 UTC.
        body: The exact bytes that are sent.
    """
    signed = standard_webhooks_content(message_id, timestamp, body)
    return "v1a," + base64.b64encode(key.sign(signed)).decode()


def standard_webhooks_content(message_id: str, timestamp: int, body: bytes) -> bytes:
    """Returns what both schemes of Standard Webhooks sign."""
    return b"%b.%d.%b" % (message_id.encode(), timestamp, body)
