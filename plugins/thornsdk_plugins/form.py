"""Writes payloads as HTML forms are: ``application/x-www-form-urlencoded`` (WHATWG URL, section 5)."""

from collections.abc import Iterator
from urllib.parse import urlencode

from attrs import frozen

from thornsdk import HookContext, Message, Plain, Plugin, Provided, Serializer, hookimpl, to_plain
from thornsdk.errors import SerializationError


@frozen
class FormSerializer:
    """Writes payloads as form fields, with the names of nested values in brackets.

    ``{"a": 1, "b": {"c": 2}, "d": [3]}`` becomes ``a=1&b[c]=2&d[0]=3``, percent-encoded. True and false are
    written so, None as an empty value; an empty object or list leaves no field.

    Attributes:
        content_type: The value of ``Content-Type``.
    """

    content_type: str = "application/x-www-form-urlencoded"

    def serialize(self, message: Message[object]) -> bytes:
        """Writes the payload of a message.

        Raises:
            SerializationError: If it is not an object, or a part of it has no plain form.
        """
        plain = to_plain(message.payload)
        if not isinstance(plain, dict):
            raise SerializationError("$", "a form needs an object at the top: names and values")
        return urlencode([field for name, value in plain.items() for field in _fields(name, value)]).encode()


def _fields(name: str, value: Plain) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _fields(f"{name}[{key}]", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _fields(f"{name}[{index}]", inner)
    else:
        yield name, _text(value)


def _text(value: Plain) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


class FormPlugin(Plugin):
    """Provides the serializer ``form``."""

    @hookimpl
    def thornsdk_serializers(self, context: HookContext) -> list[Provided[Serializer]]:
        """Provides it."""
        return [
            Provided("form", lambda stage: FormSerializer(stage.value), "Writes payloads as form fields.")
        ]
