"""Writes payloads as JSON (RFC 8259), in UTF-8."""

import json

from attrs import frozen

from thornsdk import HookContext, Message, Plugin, Provided, Serializer, hookimpl, to_plain

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@frozen
class JsonSerializer:
    """Writes payloads as compact JSON.

    What types a payload may be made of is told at `thornsdk.to_plain`.

    Attributes:
        content_type: The value of ``Content-Type``.
    """

    content_type: str = "application/json"

    def serialize(self, message: Message[object]) -> bytes:
        """Writes the payload of a message.

        Raises:
            SerializationError: If a part of it has no place in JSON; the error says where.
        """
        return _ENCODER.encode(to_plain(message.payload)).encode()


class JsonPlugin(Plugin):
    """Provides the serializer ``json``."""

    @hookimpl
    def thornsdk_serializers(self, context: HookContext) -> list[Provided[Serializer]]:
        """Provides it."""
        return [Provided("json", lambda stage: JsonSerializer(stage.value), "Writes payloads as JSON.")]
