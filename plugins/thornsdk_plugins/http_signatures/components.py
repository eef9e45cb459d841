"""What a signature covers, and the text that is signed for it (RFC 9421, sections 2 and 3.1)."""

import hashlib
from typing import TypeAlias

from thornsdk import Delivery
from thornsdk_plugins.http_signatures.fields import byte_sequence, dictionary, string

Components: TypeAlias = tuple[tuple[str, str], ...]
"""Names of components and their values, in the order in which they are signed."""

_WEB = frozenset({"http", "https"})


def content_digest(body: bytes) -> str:
    """Returns the value of ``Content-Digest`` with sha-256 (RFC 9530, section 2)."""
    return dictionary({"sha-256": byte_sequence(hashlib.sha256(body).digest())})


def covered(delivery: Delivery, digest: str) -> Components:
    """Returns the components that the signatures of a delivery cover.

    Args:
        delivery: What is about to be sent.
        digest: The value of its ``Content-Digest``.
    """
    return (
        *_of_target(delivery),
        ("content-digest", digest),
        ("content-type", delivery.content_type),
        ("hook-event", delivery.event),
        ("hook-delivery", str(delivery.id)),
        ("hook-subscription", str(delivery.subscription.id)),
    )


def signature_base(components: Components, parameters: str) -> bytes:
    """Returns the text that is signed (section 2.5).

    Args:
        components: What is covered.
        parameters: The covered names and the parameters as they stand in ``Signature-Input``.
    """
    lines = (f"{string(name)}: {value}" for name, value in (*components, ("@signature-params", parameters)))
    return "\n".join(lines).encode("ascii")


def _of_target(delivery: Delivery) -> Components:
    url = delivery.subscription.url
    if url.scheme not in _WEB:
        return ()
    path, _, query = url.target.partition("?")
    return (
        ("@method", "POST"),
        ("@authority", url.origin.authority),
        ("@path", path),
        ("@query", f"?{query}"),
    )
