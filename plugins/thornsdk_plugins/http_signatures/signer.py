"""The signer ``http-signatures``."""

import hmac
from collections.abc import Callable
from datetime import datetime
from functools import partial

from attrs import field, frozen

from thornsdk import Delivery, SigningKey, as_signing_keys
from thornsdk.typing import Headers
from thornsdk_plugins.http_signatures.components import content_digest, covered, signature_base
from thornsdk_plugins.http_signatures.fields import byte_sequence, dictionary, inner_list

TAG = "thornsdk"
"""The parameter ``tag``: by it, a receiver tells these signatures from those of a proxy (section 2.3)."""


@frozen
class _Key:
    """What makes one signature: how receivers find it, its algorithm (section 6.2), and how it signs."""

    id: str
    algorithm: str
    sign: Callable[[bytes], bytes]


@frozen(kw_only=True)
class HttpSignaturesSigner:
    """Adds ``Content-Digest`` (RFC 9530), ``Signature-Input`` and ``Signature`` (RFC 9421).

    Covered are the method, where the request goes, ``Content-Digest`` and with it the body, ``Content-Type``,
    and the headers ``Hook-Event``, ``Hook-Delivery`` and ``Hook-Subscription``. ``User-Agent`` is not: it is
    the transport's, and no receiver decides by it. For a URL that is not one of HTTP, there is no method and
    no target, and the headers alone are covered.

    Where the request goes is covered as ``@authority``, ``@path`` and ``@query``, not as ``@target-uri``:
    that has the scheme in it, and a receiver behind a proxy that ends TLS sees ``http`` where ``https`` was
    signed. The three are parts of the URL that the receiver has subscribed, so it can verify with that where
    a proxy has changed ``Host`` or path. They are not left out, because all receivers have the same public
    key: one could pass a message on to another, who would take it for its own. ``@query`` is covered where
    there is none, too, so that nobody can add one.

    Attributes:
        keys: The application's keys, one or several, the current one first. Each makes a signature with
            ``alg="ed25519"``, whose ``keyid`` is the thumbprint of its public key. Without keys, each valid
            secret of the subscription makes one with ``alg="hmac-sha256"``, whose ``keyid`` is the id of the
            subscription.

    Raises:
        InvalidKey: If a key is malformed.
        MissingPackageError: If there are keys, and the package that knows Ed25519 is not installed.
    """

    keys: tuple[SigningKey, ...] = field(default=(), converter=as_signing_keys)

    @property
    def header_names(self) -> frozenset[str]:
        """The three headers."""
        return frozenset({"content-digest", "signature-input", "signature"})

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        """Signs the request, with the time in whole seconds."""
        digest = content_digest(delivery.body)
        components = covered(delivery, digest)
        inputs: dict[str, str] = {}
        signatures: dict[str, str] = {}
        for number, key in enumerate(self._keys(delivery, at), 1):
            label = f"sig{number}"
            inputs[label] = inner_list((name for name, _ in components), _parameters(key, at))
            signatures[label] = byte_sequence(key.sign(signature_base(components, inputs[label])))
        return (
            ("Content-Digest", digest),
            ("Signature-Input", dictionary(inputs)),
            ("Signature", dictionary(signatures)),
        )

    def _keys(self, delivery: Delivery, at: datetime) -> list[_Key]:
        if self.keys:
            return [_Key(one.public_key.thumbprint, "ed25519", one.sign) for one in self.keys]
        secrets = delivery.subscription.valid_secrets(at)
        shared_id = str(delivery.subscription.id)
        return [_Key(shared_id, "hmac-sha256", partial(_hmac_sha256, one.key)) for one in secrets]


def _parameters(key: _Key, at: datetime) -> dict[str, str | int]:
    return {"created": int(at.timestamp()), "keyid": key.id, "alg": key.algorithm, "tag": TAG}


def _hmac_sha256(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
