"""Plugins whose hooks have wrong arguments or give wrong things."""

from thornsdk import HookContext, Plugin, Provided, Request, Response, Serializer, Signer, Transport, hookimpl
from thornsdk_plugins.hook_hmac import HookHmacSigner
from thornsdk_plugins.json import JsonSerializer


class WrongArgument(Plugin):
    @hookimpl
    def thornsdk_transports(self, context: str) -> list[Provided[Transport]]:  # error: [override]
        return []


class WrongNumber(Plugin):
    @hookimpl
    def thornsdk_transports(self) -> list[Provided[Transport]]:  # error: [override]
        return []


class Misspelt(Plugin):
    @hookimpl
    def thornsdk_transport(self, context: HookContext) -> list[Provided[Transport]]:  # error: no base method
        return []


class WrongReturn(Plugin):
    @hookimpl
    def thornsdk_transports(self, context: HookContext) -> list[Provided[Serializer]]:  # error: [override]
        return []


class NotProvided(Plugin):
    @hookimpl
    def thornsdk_signers(self, context: HookContext) -> list[Signer]:  # error: [override]
        return [HookHmacSigner()]


class WrongStage(Plugin):
    @hookimpl
    def thornsdk_signers(self, context: HookContext) -> list[Provided[Signer]]:
        return [Provided("json", lambda stage: JsonSerializer(), "Writes.")]  # error: "JsonSerializer"


class WrongFactory(Plugin):
    @hookimpl
    def thornsdk_signers(self, context: HookContext) -> list[Provided[Signer]]:
        return [Provided("mine", HookHmacSigner(), "Signs.")]  # error: "HookHmacSigner"


class HalfTransport(Transport):
    @property
    def schemes(self) -> frozenset[str]:
        return frozenset({"pigeon"})

    def send(self, request: Request) -> Response:
        return Response(status=request.status)  # error: has no attribute "status"


class WrongTransport(HalfTransport):
    def send(self, request: Request) -> bytes:  # error: [override]
        return b""


HalfTransport()  # error: Cannot instantiate abstract class
