"""Delivers in this process, while ``send`` waits."""

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
    tally,
)


class DefaultDispatcher(Dispatcher):
    """Attempts every delivery of a message once, here and now, and tells all outcomes in the receipt.

    Where ``THORN_DURABLE`` is on, the deliveries are written to the store before the first of them is sent.
    One that another process takes from there, after a message took too long, is not in the receipt.
    """

    @property
    def name(self) -> str:
        """``default``."""
        return "default"

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        """Delivers the message; ends when every request has ended."""
        results = deliverer.deliver_all(dispatch)
        return Receipt(
            message_id=dispatch.message.id,
            event=dispatch.message.event,
            dispatcher=self.name,
            state=ReceiptState.ENDED,
            outcomes=tally(results),
        )


class DefaultPlugin(Plugin):
    """Provides the dispatcher ``default``."""

    @hookimpl
    def thornsdk_dispatchers(self, context: HookContext) -> list[Provided[Dispatcher]]:
        """Provides it."""
        return [Provided("default", lambda stage: DefaultDispatcher(), "Delivers in this process.")]
