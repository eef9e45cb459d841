"""The pipeline alone: all that thornsdk does for a delivery, with a transport that answers at once.

Told to, it leaves parts out, so that it can be seen what they cost: the text of the log (``written``), the
log as a whole (``logged``), the signatures (``signed``).
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rig.peers.ours import logged, sends
from rig.way import Deliver, Target
from thornsdk import Pipeline, Request, Response, Thorn, Transport
from thornsdk_plugins.default import DefaultDispatcher
from thornsdk_plugins.hook_hmac import HookHmacSigner
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.standard_webhooks import StandardWebhooksSigner

_ANSWER = Response(status=200)


class NoTransport(Transport):
    """Answers every request with 200, and sends none."""

    @property
    def schemes(self) -> frozenset[str]:
        return frozenset({"https"})

    @property
    def user_agent(self) -> str:
        return "none"

    def send(self, request: Request) -> Response:
        return _ANSWER


@contextmanager
def opened(target: Target) -> Iterator[Deliver]:
    told = target.options
    pipeline = Pipeline(
        serializers=[JsonSerializer()],
        signers=[HookHmacSigner(), StandardWebhooksSigner()] if told.get("signed", True) else [],
        transports=[NoTransport()],
        dispatcher=DefaultDispatcher(),
        store=MemoryStore(),
    )
    log = logged(written=told.get("written", True)) if told.get("logged", True) else nullcontext()
    with log, Thorn(pipeline=pipeline) as thorn:
        yield sends(thorn, target)
