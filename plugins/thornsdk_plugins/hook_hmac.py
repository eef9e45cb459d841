"""Signs with ``Hook-HMAC``, the header of Thorn."""

from datetime import datetime

from attrs import frozen

from thornsdk import Delivery, HookContext, Plugin, Provided, Signer, hook_hmac, hookimpl
from thornsdk.typing import Headers


@frozen
class HookHmacSigner:
    """Adds ``Hook-HMAC``: base64 of the HMAC over the body, keyed on the subscription's current secret."""

    @property
    def header_names(self) -> frozenset[str]:
        """``hook-hmac``."""
        return frozenset({"hook-hmac"})

    def sign(self, delivery: Delivery, at: datetime) -> Headers:
        """Signs the body; the time does not matter to this signature."""
        subscription = delivery.subscription
        return (("Hook-HMAC", hook_hmac(subscription.secrets[0].key, delivery.body, subscription.digest)),)


class HookHmacPlugin(Plugin):
    """Provides the signer ``hook-hmac``."""

    @hookimpl
    def thornsdk_signers(self, context: HookContext) -> list[Provided[Signer]]:
        """Provides it."""
        return [Provided("hook-hmac", lambda stage: HookHmacSigner(), "Signs the body with Hook-HMAC.")]
