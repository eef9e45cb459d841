"""Signs as the Standard Webhooks specification has it: with secrets (v1), and with keys besides (v1a)."""

from collections.abc import Iterator
from datetime import datetime

from attrs import field, frozen

from thornsdk import (
    Delivery,
    HookContext,
    Plugin,
    Provided,
    Signer,
    SigningKey,
    as_signing_keys,
    hookimpl,
    standard_webhooks,
    standard_webhooks_v1a,
)
from thornsdk.errors import InvalidKey
from thornsdk.typing import Headers

_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


@frozen
class StandardWebhooksSigner:
    """Adds ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``.

    The id is the delivery's. There is one signature for each secret that is valid when the attempt begins, so
    that a subscriber who has only the old or only the new one can verify while secrets are rotated.
    """

    @property
    def header_names(self) -> frozenset[str]:
        """The three headers."""
        return frozenset({_ID, _TIMESTAMP, _SIGNATURE})

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        """Signs id, time and body."""
        timestamp = int(at.timestamp())
        delivery_id = str(delivery.id)
        return (
            (_ID, delivery_id),
            (_TIMESTAMP, str(timestamp)),
            (_SIGNATURE, " ".join(self._signatures(delivery, delivery_id, timestamp, at))),
        )

    def _signatures(
        self, delivery: Delivery, delivery_id: str, timestamp: int, at: datetime
    ) -> Iterator[str]:
        for secret in delivery.subscription.valid_secrets(at):
            yield standard_webhooks(secret.key, delivery_id, timestamp, delivery.body)


def _some_keys(_: object, __: object, keys: tuple[SigningKey, ...]) -> None:
    if not keys:
        raise InvalidKey("there is no key to sign with; SigningKey.generate() makes one")


@frozen(kw_only=True)
class Ed25519Signer(StandardWebhooksSigner):
    """Signs as `StandardWebhooksSigner` does, and with the application's keys besides (v1a, Ed25519).

    It takes that signer's place and breaks no receiver: who knows the secret still finds its signature. Who
    knows a public key alone can verify too, and cannot forge.

    Attributes:
        keys: The application's keys, one or several, the current one first. Each signs, so that receivers can
            change to the new public key at their own time.

    Raises:
        InvalidKey: If a key is malformed, or there is none.
        MissingPackageError: If the package that knows Ed25519 is not installed.
    """

    keys: tuple[SigningKey, ...] = field(converter=as_signing_keys, validator=_some_keys)

    def _signatures(
        self, delivery: Delivery, delivery_id: str, timestamp: int, at: datetime
    ) -> Iterator[str]:
        yield from super()._signatures(delivery, delivery_id, timestamp, at)
        for key in self.keys:
            yield standard_webhooks_v1a(key, delivery_id, timestamp, delivery.body)


class StandardWebhooksPlugin(Plugin):
    """Provides the signers ``standard-webhooks`` and ``ed25519``."""

    @hookimpl
    def thornsdk_signers(self, context: HookContext) -> list[Provided[Signer]]:
        """Provides them."""
        return [
            Provided(
                "standard-webhooks",
                lambda stage: StandardWebhooksSigner(),
                "Signs id, time and body as Standard Webhooks has it.",
            ),
            Provided(
                "ed25519",
                lambda stage: stage.options(Ed25519Signer),
                "Signs as standard-webhooks, in its place, and with public keys besides.",
                extra="thornsdk[ed25519]",
            ),
        ]
