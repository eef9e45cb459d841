"""The transport ``spool``."""

from pathlib import Path

from thornsdk import Reason, Request, Response, Transport
from thornsdk.errors import TransportError


class SpoolTransport(Transport):
    """Puts each request into a file, in the folder that the host of its URL names.

    It goes nowhere but into the folder that the operator has configured, so it asks no guard.

    Args:
        folder: Where the folders are.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    @property
    def schemes(self) -> frozenset[str]:
        """``spool``."""
        return frozenset({"spool"})

    @property
    def user_agent(self) -> str:
        """Its name and version."""
        return "spool-post/1.2"

    def send(self, request: Request) -> Response:
        """Writes the headers, an empty line, and the body.

        Raises:
            TransportError: If the file cannot be written.
        """
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers)
        # A host is a name or an address, so it is the name of a folder, and never a way out of this one.
        folder = self._folder / request.url.host
        try:
            folder.mkdir(parents=True, exist_ok=True)
            written = folder / f".{request.id}"
            written.write_bytes(f"{head}\r\n".encode() + request.body)
            written.replace(folder / f"{request.id}.http")  # Who looks into the folder finds it whole.
        except OSError as exc:
            raise TransportError(
                Reason.CONNECTION_LOST, f"nothing could be written ({exc.strerror})"
            ) from exc
        return Response(status=201)
