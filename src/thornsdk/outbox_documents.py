"""What a row of the outbox says of its message, as JSON."""

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from attrs import frozen

from thornsdk.dispatching import Bodies, Body, Dispatch, Terms
from thornsdk.errors import OutboxError, SerializationError, ThornError
from thornsdk.model import Audience, Message

VERSION = 1
"""The version of what is written here."""


@frozen(kw_only=True)
class Kept:
    """A message as its row has it. The payload itself is not kept: its bodies are.

    Attributes:
        message: The message.
        audience: Which subscriptions it may reach.
        bodies: Its payload in every content type that the sender had.
        requirements: What configuration and code add to the event at the sender's.
    """

    message: Message[object]
    audience: Audience
    bodies: Mapping[str, Body]
    requirements: frozenset[str]

    def on(self, terms: Terms) -> Dispatch:
        """Gives it to be delivered on these terms."""
        return Dispatch(
            message=self.message,
            audience=self.audience,
            bodies=Bodies.written(self.bodies),
            terms=terms,
        )


def write_document(dispatch: Dispatch, requirements: Iterable[str]) -> str:
    """Writes a message, in ASCII, so that no database and no character set changes it."""
    message = dispatch.message
    bodies = dispatch.bodies.in_all_types()
    document = {
        "version": VERSION,
        "id": str(message.id),
        "event": message.event,
        "sender": message.sender,
        "broadcast": dispatch.audience.broadcast,
        "key": message.idempotency_key,
        "created_at": message.created_at.isoformat(),
        "bodies": {content_type: _write_body(one) for content_type, one in bodies.items()},
        "requirements": sorted(requirements),
    }
    return json.dumps(document)


def read_document(row_id: str, text: str) -> Kept:
    """Reads what `write_document` wrote.

    Raises:
        OutboxError: If it cannot be read. The error names the row.
    """
    try:
        document = _mapping(json.loads(text))
        if document["version"] == VERSION:
            return _read(document)
        problem = "its version is not one that this release knows"
    except (KeyError, ValueError, TypeError, RecursionError, ThornError) as exc:
        # The text of the cause may hold a part of a body.
        problem = f"a part of it is missing or wrong ({type(exc).__name__})"
    raise OutboxError(
        f"the row {row_id!r} of thornsdk_outbox cannot be read: {problem}; mend or remove the row"
    )


def _read(document: Mapping[str, object]) -> Kept:
    sender = document["sender"]
    message = Message[object](
        id=UUID(_text(document["id"])),
        event=_text(document["event"]),
        payload=None,
        created_at=datetime.fromisoformat(_text(document["created_at"])),
        sender=None if sender is None else _text(sender),
        idempotency_key=_text(document["key"]),
    )
    return Kept(
        message=message,
        audience=Audience(
            event=message.event, sender=message.sender, broadcast=_switch(document["broadcast"])
        ),
        bodies={name: _read_body(_mapping(one)) for name, one in _mapping(document["bodies"]).items()},
        requirements=frozenset(_text(one) for one in _list(document["requirements"])),
    )


def _write_body(body: Body) -> dict[str, str]:
    if isinstance(body, SerializationError):
        return {"path": body.path, "problem": body.problem}
    return {"base64": base64.b64encode(body).decode()}


def _read_body(document: Mapping[str, object]) -> Body:
    if "problem" in document:
        return SerializationError(_text(document["path"]), _text(document["problem"]))
    return base64.b64decode(_text(document["base64"]), validate=True)


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value
