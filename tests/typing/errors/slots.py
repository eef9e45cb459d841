"""Stages in a wrong slot."""

from thornsdk import Pipeline, Thorn
from thornsdk_plugins.default import DefaultDispatcher
from thornsdk_plugins.hook_hmac import HookHmacSigner
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.urllib3 import PooledTransport

Pipeline(
    serializers=[HookHmacSigner()],  # error: expected "Serializer"
    signers=[JsonSerializer()],  # error: expected "Signer"
    transports=[DefaultDispatcher()],  # error: expected "Transport"
    dispatcher=PooledTransport(),  # error: expected "Dispatcher"
    store=DefaultDispatcher(),  # error: expected "Store | None"
    observers=[MemoryStore()],  # error: expected "Observer"
)
Pipeline(  # error: Missing named argument "dispatcher"
    serializers=[JsonSerializer()],
    signers=[],
    transports=[PooledTransport()],
)
Thorn(pipeline=DefaultDispatcher())  # error: expected "Pipeline | None"
