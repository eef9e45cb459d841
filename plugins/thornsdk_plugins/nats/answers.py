"""What a server says of what was published, as the status that comes nearest."""

import json
import re
from http import HTTPStatus
from typing import Final

from nats.aio.msg import Msg
from nats.errors import Error

from thornsdk import Reason, Response
from thornsdk.errors import TransportError

_NOBODY = "503"
"""What stands in the header ``Status`` where nobody listens to a subject: no stream takes it."""

_LEAST_ERROR, _SERVER_ERROR, _LAST_ERROR = 400, 500, 599

# https://github.com/nats-io/nats-server/blob/main/server/errors.json: what is no trouble of one stream.
_SERVER_WIDE: Final = frozenset(
    {
        10008,  # JetStream system temporarily unavailable
        10023,  # insufficient resources
        10028,  # insufficient memory resources available
        10039,  # JetStream not enabled for account
        10047,  # insufficient storage resources available
        10076,  # JetStream not enabled
    }
)

# The server's words, https://docs.nats.io/reference/reference-protocols/nats-protocol#ok-err; its errors have
# no numbers. The first that is found counts: behind a "permissions violation" stands a subject, which may
# have any word of the others in it, though no space.
_REFUSALS: Final = {
    "permissions violation": HTTPStatus.FORBIDDEN,
    "authorization violation": HTTPStatus.UNAUTHORIZED,
    "authentication": HTTPStatus.UNAUTHORIZED,
    "maximum connections": HTTPStatus.SERVICE_UNAVAILABLE,
    "maximum account": HTTPStatus.SERVICE_UNAVAILABLE,
}
_TO_PUBLISH = re.compile(r'permissions violation for publish to "(.*)"')


class Refused(Exception):
    """The server has refused: this is the answer.

    Args:
        status: The status that comes nearest.
        why: The same in words, without the subject.
    """

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(status, why)
        self.status = status
        self.why = why


def refusal(error: Error) -> Refused | None:
    """Gives what an error means that the server has told; None where it is no refusal."""
    words = str(error).lower()
    found = ((status, why) for why, status in _REFUSALS.items() if why in words)
    return next((Refused(status, why) for status, why in found), None)


def forbidden_subject(error: Exception) -> str | None:
    """Gives the subject, in lower case, that must not be published to; None where that was not told."""
    found = _TO_PUBLISH.search(str(error).lower())
    return found[1] if found else None


def read_answer(answer: Msg) -> Response:
    """Reads what came back for a message that was published.

    Returns:
        202 where a stream has it; 404 where no stream takes the subject. Otherwise the status of the stream's
        error, with 429 in place of 500 and above: a status of 500 or more counts against the whole server, so
        it is 503 where JetStream is ill and not one stream.

    Raises:
        TransportError: If the answer is not that of a stream.
    """
    if not answer.data and (answer.headers or {}).get("Status") == _NOBODY:
        return Response(status=int(HTTPStatus.NOT_FOUND), body=b"no stream takes the subject")
    status = _status(answer.data)
    if status is None:
        raise TransportError(Reason.PROTOCOL_ERROR, "what answered is not a stream: nothing was acknowledged")
    return Response(status=status, body=answer.data)


def _status(data: bytes) -> int | None:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return None
    match told:
        case {"error": {"code": int(), "err_code": int(number)}} if number in _SERVER_WIDE:
            return int(HTTPStatus.SERVICE_UNAVAILABLE)
        case {"error": {"code": int(code)}} if _LEAST_ERROR <= code <= _LAST_ERROR:
            return code if code < _SERVER_ERROR else int(HTTPStatus.TOO_MANY_REQUESTS)
        case {"error": _}:
            return None
        case {"stream": str(), "seq": int()}:
            # The stream has it; whether anybody has read it is not known.
            return int(HTTPStatus.ACCEPTED)
        case _:
            return None
