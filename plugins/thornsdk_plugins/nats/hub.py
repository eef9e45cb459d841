"""The connections to all servers, one each, and what becomes of a request over them."""

import asyncio
import ssl
from collections.abc import Mapping

from thornsdk import LookUps, Reason, Request, Response
from thornsdk.errors import TransportError
from thornsdk_plugins.nats.answers import Refused
from thornsdk_plugins.nats.dial import Dialer
from thornsdk_plugins.nats.failures import translate
from thornsdk_plugins.nats.link import Link
from thornsdk_plugins.nats.messages import Publication
from thornsdk_plugins.nats.servers import Server


class Hub:
    """Sends requests to the servers that they name. It lives in an event loop.

    Args:
        servers: The servers, by name.
        context: What TLS needs.
        look_ups: Looks up names.
    """

    def __init__(self, servers: Mapping[str, Server], context: ssl.SSLContext, look_ups: LookUps) -> None:
        self._dialers = {name: Dialer(server, context, look_ups) for name, server in servers.items()}
        self._links: dict[str, Link] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, request: Request, give_up_at: float) -> Response | TransportError:
        """Sends a request; what stands in place of an answer is given, not raised.

        Args:
            request: The request.
            give_up_at: The deadline, by the time of the loop.
        """
        try:
            return await self._send(request, give_up_at)
        except Refused as refused:
            return Response(status=int(refused.status), body=refused.why.encode())
        except TransportError as exc:
            return exc
        except Exception as exc:
            translated = translate(exc)
            translated.__cause__ = exc
            return translated

    async def close(self) -> None:
        """Closes all connections. None may be in use."""
        links = list(self._links.values())
        self._links.clear()
        for link in links:
            self._close(link)
        await asyncio.gather(*self._closing)

    async def _send(self, request: Request, give_up_at: float) -> Response:
        # The guard of the request has nothing to judge: no address comes from the URL.
        name = request.url.host
        if name not in self._dialers:
            raise TransportError(
                Reason.ADDRESS_FORBIDDEN,
                f"no server is called {name!r} here; THORN_OPTIONS['nats']['servers'] names them",
            )
        publication = Publication.of(request)
        link = self._join(name, give_up_at)
        try:
            return await link.send(publication, give_up_at)
        finally:
            self._leave(link)

    def _join(self, name: str, give_up_at: float) -> Link:
        link = self._links.get(name)
        if link is None or not link.is_usable():
            link = self._links[name] = Link(self._dialers[name], give_up_at)
        link.users += 1
        return link

    def _leave(self, link: Link) -> None:
        link.users -= 1
        if not link.users and not link.is_usable():
            self._close(link)

    def _close(self, link: Link) -> None:
        closing = asyncio.ensure_future(link.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
