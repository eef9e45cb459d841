"""Sends nothing: for tests, for staging, for an emergency."""

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


class DisabledDispatcher(Dispatcher):
    """Takes messages and sends nothing; says so in the receipt. Nothing is kept to be sent later."""

    @property
    def name(self) -> str:
        """``disabled``."""
        return "disabled"

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        """Says that nothing is sent."""
        return Receipt(
            message_id=dispatch.message.id,
            event=dispatch.message.event,
            dispatcher=self.name,
            state=ReceiptState.DISABLED,
        )


class DisabledPlugin(Plugin):
    """Provides the dispatcher ``disabled``."""

    @hookimpl
    def thornsdk_dispatchers(self, context: HookContext) -> list[Provided[Dispatcher]]:
        """Provides it."""
        return [Provided("disabled", lambda stage: DisabledDispatcher(), "Sends nothing, and says so.")]
