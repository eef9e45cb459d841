"""Writes messages as CloudEvents 1.0, as JSON: in structured mode or in binary mode.

The content type tells a receiver which it is (HTTP protocol binding, section 3). In structured mode,
``application/cloudevents+json``, the body is an envelope around the payload. In binary mode, under any other
content type, the body is the payload, and the rest stands in headers.
"""

import json
import re
from datetime import UTC, datetime
from urllib.parse import quote
from uuid import UUID

from attrs import Attribute, field, frozen

from thornsdk import (
    Delivery,
    HookContext,
    Message,
    Plugin,
    Provided,
    Serializer,
    StageContext,
    hookimpl,
    to_plain,
)
from thornsdk.errors import InvalidValue
from thornsdk.typing import Headers

STRUCTURED = "application/cloudevents+json"
"""The content type of structured mode, in the JSON event format."""
JSON = "application/json"
"""The content type of what a structured event has as its data."""

_FAMILY = "application/cloudevents"
_JSON_TYPE = re.compile(r"[^/]+/(?:[^/]+\+)?json")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

# RFC 3986, appendix A.
_PLAIN = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_CHARACTER = rf"(?:{_PLAIN}|[:@])"
_AUTHORITY = rf"(?:(?:{_PLAIN}|:)*@)?(?:\[[0-9A-Fa-f:.]+\]|{_PLAIN}*)(?::[0-9]*)?"
_URI_REFERENCE = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:|(?![^/?#]*:))"  # a scheme; or else no colon before the first slash
    rf"(?://{_AUTHORITY}(?=[/?#]|\Z)|(?!//))"
    rf"(?:{_CHARACTER}|/)*(?:\?(?:{_CHARACTER}|[/?])*)?(?:#(?:{_CHARACTER}|[/?])*)?"
)

# HTTP protocol binding, section 3.1.3.2: all that is printable ASCII stays as it is, but for these.
_KEPT = "".join(one for one in map(chr, range(0x21, 0x7F)) if one not in '"%')


def header_value(text: str) -> str:
    """Writes the value of an attribute as that of a header, percent-encoded (HTTP binding, section 3.1.3.2).

    Example:
        >>> header_value('100 % "done"')
        '100%20%25%20%22done%22'
    """
    return quote(text, safe=_KEPT)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_structured(_: object, __: "Attribute[str]", content_type: str) -> None:
    if _media_type(content_type) != STRUCTURED:
        raise InvalidValue(
            f"CloudEvents in structured mode are written as {STRUCTURED} alone, not as {content_type!r}"
        )


def _is_binary(_: object, __: "Attribute[str]", content_type: str) -> None:
    media_type = _media_type(content_type)
    if media_type.startswith(_FAMILY):
        raise InvalidValue(
            f"CloudEvents in binary mode cannot be written as {content_type!r}: receivers take what begins "
            f"with {_FAMILY} for another mode"
        )
    if not _JSON_TYPE.fullmatch(media_type):
        raise InvalidValue(
            f"CloudEvents in binary mode are written as JSON, under a content type such as {JSON}, not as "
            f"{content_type!r}"
        )


def _is_source(_: object, __: "Attribute[str]", source: str) -> None:
    if not _is_reference(source):
        raise InvalidValue(
            "the source of CloudEvents is a URI-reference that is not empty (RFC 3986, section 4.1), such as "
            "https://example.com/shop or /shop; other characters are percent-encoded"
        )


def _is_reference(given: object) -> bool:
    # What stands in a configuration may be anything.
    return isinstance(given, str) and given != "" and _URI_REFERENCE.fullmatch(given) is not None


@frozen(kw_only=True)
class CloudEventsOptions:
    """What ``THORN_OPTIONS`` says for ``cloudevents``.

    Attributes:
        source: Where the events come from.
    """

    source: str = field(validator=_is_source)


@frozen
class StructuredCloudEventsSerializer:
    """Writes messages as CloudEvents in structured mode: the body is the whole event, as JSON.

    It has the attributes ``specversion``, ``id`` (that of the message), ``source``, ``type`` (the name of the
    event), ``time`` (when the application sent it, in UTC) and ``datacontenttype``, and the payload as
    ``data``.

    Attributes:
        content_type: ``application/cloudevents+json``, with parameters or without.
        source: Where the events come from, as a URI-reference (RFC 3986, section 4.1), such as
            ``https://example.com/shop`` or ``/shop``. No two events of one source share an id.

    Raises:
        InvalidValue: If the content type or the source cannot be that.

    Example:
        >>> from thornsdk.testing import make_message
        >>> StructuredCloudEventsSerializer(source="/shop").serialize(make_message({"id": 42}))
        b'{"specversion":"1.0","id":"...","source":"/shop","type":"order.created",...,"data":{"id":42}}'
    """

    content_type: str = field(default=STRUCTURED, validator=_is_structured)
    source: str = field(kw_only=True, validator=_is_source)

    def serialize(self, message: Message[object]) -> bytes:
        """Writes a message as an event.

        Raises:
            SerializationError: If a part of its payload has no place in JSON; the error says where.
        """
        attributes = _attributes(self.source, message.id, message.event, message.created_at)
        event = {**attributes, "datacontenttype": JSON, "data": to_plain(message.payload)}
        return _ENCODER.encode(event).encode()


@frozen
class BinaryCloudEventsSerializer:
    """Writes messages as CloudEvents in binary mode: the body is the payload, the rest stands in headers.

    The headers are ``ce-specversion``, ``ce-id`` (that of the message), ``ce-source``, ``ce-type`` (the name
    of the event) and ``ce-time`` (when the application sent it, in UTC).

    Attributes:
        content_type: One of JSON: ``application/json``, or what ends in ``+json``.
        source: Where the events come from, as in `StructuredCloudEventsSerializer`.

    Raises:
        InvalidValue: If the content type or the source cannot be that.

    Example:
        >>> from thornsdk.testing import make_delivery
        >>> dict(BinaryCloudEventsSerializer(source="/shop").headers(make_delivery()))["ce-type"]
        'order.created'
    """

    content_type: str = field(default=JSON, validator=_is_binary)
    source: str = field(kw_only=True, validator=_is_source)

    def serialize(self, message: Message[object]) -> bytes:
        """Writes the payload of a message.

        Raises:
            SerializationError: If a part of it has no place in JSON; the error says where.
        """
        return _ENCODER.encode(to_plain(message.payload)).encode()

    @property
    def header_names(self) -> frozenset[str]:
        """Those of the five attributes."""
        return frozenset({"ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time"})

    def headers(self, delivery: Delivery) -> Headers:
        """Writes the attributes of the event; its content type is that of the body."""
        attributes = _attributes(self.source, delivery.message_id, delivery.event, delivery.created_at)
        return tuple((f"ce-{name}", header_value(value)) for name, value in attributes.items())


def _attributes(source: str, event_id: UUID, name: str, at: datetime) -> dict[str, str]:
    """Gives the attributes that both modes have, as text."""
    return {
        "specversion": "1.0",
        "id": str(event_id),
        "source": source,
        "type": name,
        "time": _timestamp(at),
    }


def _timestamp(moment: datetime) -> str:
    """Writes a moment in UTC, as RFC 3339 has it."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


def _build(stage: StageContext) -> Serializer:
    source = stage.options(CloudEventsOptions).source
    if _media_type(stage.value).startswith(_FAMILY):
        return StructuredCloudEventsSerializer(stage.value, source=source)
    return BinaryCloudEventsSerializer(stage.value, source=source)


class CloudEventsPlugin(Plugin):
    """Provides the serializer ``cloudevents``."""

    @hookimpl
    def thornsdk_serializers(self, context: HookContext) -> list[Provided[Serializer]]:
        """Provides it."""
        return [Provided("cloudevents", _build, "Writes messages as CloudEvents 1.0, as JSON.")]
