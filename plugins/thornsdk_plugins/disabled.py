"""Sends nothing: for tests, for staging, for an emergency."""

from attrs import frozen

from thornsdk import (
    Deliverer,
    Dispatch,
    Dispatcher,
    HookContext,
    Plugin,
    Provided,
    Receipt,
    ReceiptState,
    hookimpl,
)


@frozen
class DisabledDispatcher:
    """Takes messages and sends nothing; says so in the receipt. Nothing is kept to be sent later."""

    name: str = "disabled"

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        """Says that nothing is sent."""
        return Receipt(
            message_id=dispatch.message.id,
            event=dispatch.message.event,
            dispatcher=self.name,
            state=ReceiptState.DISABLED,
        )

    def close(self) -> None:
        """Holds nothing."""


class DisabledPlugin(Plugin):
    """Provides the dispatcher ``disabled``."""

    @hookimpl
    def thornsdk_dispatchers(self, context: HookContext) -> list[Provided[Dispatcher]]:
        """Provides it."""
        return [Provided("disabled", lambda stage: DisabledDispatcher(), "Sends nothing, and says so.")]
