"""Publishes to queues on brokers that the operator has named: RabbitMQ, Redis and Amazon's SQS."""

from typing import TYPE_CHECKING

from thornsdk import HookContext, Plugin, Provided, StageContext, Transport, hookimpl

if TYPE_CHECKING:
    from thornsdk_plugins.queue.transport import QueueTransport
else:
    # PEP 562: loading the plugin must not need kombu; building its stage does.
    def __getattr__(name: str) -> object:
        if name == "QueueTransport":
            from thornsdk_plugins.queue.transport import QueueTransport

            return QueueTransport
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["QueuePlugin", "QueueTransport"]


def _build(stage: StageContext) -> Transport:
    from thornsdk_plugins.queue.brokers import QueueOptions
    from thornsdk_plugins.queue.transport import QueueTransport

    settings = stage.settings
    return QueueTransport(
        stage.options(QueueOptions).brokers,
        concurrency=settings.concurrency,
        concurrency_per_origin=settings.concurrency_per_origin,
        idle_timeout=settings.idle_timeout,
        ca_bundle=settings.ca_bundle,
    )


class QueuePlugin(Plugin):
    """Provides the transport ``queue``."""

    @hookimpl
    def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
        """Provides it."""
        summary = "Publishes to queues of RabbitMQ, Redis and SQS, on brokers that THORN_OPTIONS names."
        return [Provided("queue", _build, summary, extra="thornsdk[queue]")]
