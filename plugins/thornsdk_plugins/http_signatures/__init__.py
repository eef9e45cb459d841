"""Signs whole requests as HTTP Message Signatures has it (RFC 9421)."""

from thornsdk import HookContext, Plugin, Provided, Signer, hookimpl
from thornsdk_plugins.http_signatures.signer import HttpSignaturesSigner

__all__ = ["HttpSignaturesPlugin", "HttpSignaturesSigner"]


class HttpSignaturesPlugin(Plugin):
    """Provides the signer ``http-signatures``."""

    @hookimpl
    def thornsdk_signers(self, context: HookContext) -> list[Provided[Signer]]:
        """Provides it."""
        return [
            Provided(
                "http-signatures",
                lambda stage: stage.options(HttpSignaturesSigner),
                "Signs URL, headers and body as RFC 9421 has it, with secrets or public keys.",
            )
        ]
