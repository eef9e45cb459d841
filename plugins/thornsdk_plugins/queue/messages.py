"""A request as a message."""

from typing import Any, Final

from thornsdk import Request

ACCEPTED: Final = 202
"""A broker's yes: it has the message, and nobody has worked on it yet (RFC 9110, section 15.3.3)."""

_PERSISTENT: Final = 2


def message_of(request: Request) -> dict[str, Any]:
    """Gives what kombu publishes: the exact body, all headers, and the delivery's id."""
    headers = dict(request.headers)
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    return {
        "body": request.body,
        "headers": headers,
        "content_type": content_type or "application/octet-stream",
        # To kombu, this is what keeps bytes as they are.
        "content_encoding": "binary",
        "message_id": str(request.id),
        "delivery_mode": _PERSISTENT,
    }
