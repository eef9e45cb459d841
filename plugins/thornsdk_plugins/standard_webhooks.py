"""Signs as the Standard Webhooks specification has it, in its v1 scheme."""

from datetime import datetime

from attrs import frozen

from thornsdk import Delivery, HookContext, Plugin, Provided, Signer, hookimpl, standard_webhooks
from thornsdk.typing import Headers


@frozen
class StandardWebhooksSigner:
    """Adds ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``.

    The id is the delivery's. There is one signature for each secret that is valid when the attempt begins, so
    that a subscriber who has only the old or only the new one can verify while secrets are rotated.
    """

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        """Signs id, time and body."""
        timestamp = int(at.timestamp())
        delivery_id = str(delivery.id)
        signatures = (
            standard_webhooks(secret.key, delivery_id, timestamp, delivery.body)
            for secret in delivery.subscription.valid_secrets(at)
        )
        return (
            ("webhook-id", delivery_id),
            ("webhook-timestamp", str(timestamp)),
            ("webhook-signature", " ".join(signatures)),
        )


class StandardWebhooksPlugin(Plugin):
    """Provides the signer ``standard-webhooks``."""

    @hookimpl
    def thornsdk_signers(self, context: HookContext) -> list[Provided[Signer]]:
        """Provides it."""
        summary = "Signs id, time and body as Standard Webhooks has it."
        return [Provided("standard-webhooks", lambda stage: StandardWebhooksSigner(), summary)]
