"""Puts webhooks into folders, as files: a plugin of thornsdk in a distribution of its own."""

from attrs import frozen

from thornsdk import HookContext, Plugin, Provided, StageContext, Transport, hookimpl


@frozen(kw_only=True)
class SpoolOptions:
    """What ``THORN_OPTIONS`` has to say for the transport.

    Attributes:
        folder: Where the folders are, one for each host of a URL.
    """

    folder: str


def build(stage: StageContext) -> Transport:
    """Builds the transport that settings have chosen."""
    from spool_post.transport import SpoolTransport

    return SpoolTransport(stage.options(SpoolOptions).folder)


class SpoolPlugin(Plugin):
    """Provides the transport ``spool``."""

    @hookimpl
    def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
        """Provides it."""
        return [Provided("spool", build, "Puts requests into folders, as files.")]
