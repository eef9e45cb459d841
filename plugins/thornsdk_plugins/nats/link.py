"""One connection to a server, that many requests share."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

from attrs import evolve, frozen
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, Error

from thornsdk import Response
from thornsdk_plugins.nats.answers import Refused, forbidden_subject, read_answer, refusal
from thornsdk_plugins.nats.client import FOR_EVER, CarefulClient, shut
from thornsdk_plugins.nats.dial import Dialer
from thornsdk_plugins.nats.messages import Publication

_LOOK_EACH = 0.5
"""After how many seconds it is looked whether there is a connection still, where nothing comes."""

_UNANSWERED = "the server is well, and no stream has acknowledged in time"


@frozen(eq=False)
class _Waiting:
    """Who waits for an answer, and the subject that it was published to."""

    subject: str
    answer: asyncio.Future[Msg]

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Link:
    """A connection to a server, from its beginning to its end. It lives in an event loop.

    It begins to connect at once, and never does so again: when it is not usable any more, another one takes
    its place.

    Args:
        dialer: Opens connections to the server.
        give_up_at: The deadline of the request that it is opened for, by the time of the loop.

    Attributes:
        users: How many requests are under way over it.
    """

    def __init__(self, dialer: Dialer, give_up_at: float) -> None:
        self.users = 0
        self._dialer = dialer
        self._inbox = ""
        self._count = 0
        self._waiting: dict[str, _Waiting] = {}
        self._heard_at = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._is_given_up = False
        self._opening = asyncio.ensure_future(self._open(give_up_at))

    def is_open(self) -> bool:
        """Tells whether messages can be published at once."""
        return self.is_usable() and self._opening.done()

    def is_usable(self) -> bool:
        """Tells whether another request may use it: it is open, or may come to be."""
        if self._is_given_up:
            return False
        return not self._opening.done() or (self._has_opened() and self._opening.result().is_connected)

    async def send(self, publication: Publication, give_up_at: float) -> Response:
        """Publishes a message, and waits for the answer.

        Args:
            publication: The message.
            give_up_at: The deadline, by the time of the loop.

        Raises:
            Exception: What went wrong: `Refused`, or what the client, the system or `read_answer` raise.
        """
        reused = self.is_open()
        began_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(give_up_at):
                answer = await self._answer(publication, (began_at + give_up_at) / 2)
        except TimeoutError:
            if self._heard_at > began_at:
                raise Refused(HTTPStatus.REQUEST_TIMEOUT, _UNANSWERED) from None
            # One that has said nothing all the while is taken for dead; it is no stream's delay.
            self._is_given_up = True
            raise
        return evolve(read_answer(answer), reused=reused, address=str(self._opening.result().address))

    async def close(self) -> None:
        """Closes the connection, or ends connecting."""
        self._is_given_up = True
        if self._asking is not None:
            self._asking.cancel()
        self._opening.cancel()
        await asyncio.wait({self._opening})
        if self._has_opened():
            await shut(self._opening.result())

    def _has_opened(self) -> bool:
        opening = self._opening
        return opening.done() and not opening.cancelled() and opening.exception() is None

    async def _answer(self, publication: Publication, ask_at: float) -> Msg:
        client = await asyncio.shield(self._opening)
        if publication.size > client.max_payload:
            # The server would break off the connection, and with it the requests of others.
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "it is larger than the server takes")
        subject, body, headers = publication.subject, publication.body, publication.headers
        with (
            self._waits(subject) as (inbox, answer),
            _doing(client.publish(subject, body, inbox, headers)) as publishing,
        ):
            await first(client, publishing, answer)
            # What is answered was published, whatever the client still does.
            (answer if answer.done() else publishing).result()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(ask_at):
                    await first(client, answer)
            if not answer.done():
                self._ask(client)
            await first(client, answer)
            return answer.result()

    def _ask(self, client: CarefulClient) -> None:
        """Asks the server whether it lives: where it does, it is a stream that does not answer."""
        # The client cannot bear that who waits for a pong gives up, so nobody waits for this.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._hear(client))

    async def _hear(self, client: CarefulClient) -> None:
        with suppress(Error, OSError):  # It is told to those who wait for answers.
            if await client.lives():
                self._heard_at = asyncio.get_running_loop().time()

    @contextmanager
    def _waits(self, subject: str) -> Iterator[tuple[str, asyncio.Future[Msg]]]:
        """Gives where an answer is to go to, and the answer that comes there."""
        self._count += 1
        token = str(self._count)
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = _Waiting(subject, answer)
        try:
            yield f"{self._inbox}.{token}", answer
        finally:
            del self._waiting[token]
            answer.cancel()

    async def _open(self, give_up_at: float) -> CarefulClient:
        client = await self._dialer.open(give_up_at, self._told, self._lost)
        try:
            await self._listen(client)
        except BaseException:  # A deadline, too.
            await shut(client)
            raise
        return client

    async def _listen(self, client: CarefulClient) -> None:
        """Asks for the answers, and waits until the server has told if we may not read them."""
        self._inbox = client.new_inbox()
        with _doing(self._subscribe(client)) as subscribing, self._waits("") as (_, told):
            await first(client, subscribing, told)
            (told if told.done() else subscribing).result()

    async def _subscribe(self, client: CarefulClient) -> None:
        await client.subscribe(f"{self._inbox}.*", cb=self._arrived)
        for _ in range(2):
            # The ping of a flush overtakes what the client has not written yet: here, the subscription.
            await client.flush(FOR_EVER)

    # What the client calls

    async def _arrived(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result(message)

    async def _told(self, error: Exception) -> None:
        """Tells those whom it concerns that the server has refused."""
        refused = refusal(error) if isinstance(error, Error) else None
        if refused is None or refused.status is not HTTPStatus.FORBIDDEN:
            return
        subject = forbidden_subject(error)
        # What is no matter of one subject is a matter of the answers, which we may not read.
        concerned = [one for one in self._waiting.values() if subject in {None, one.subject.lower()}]
        if subject is not None and len({one.subject for one in concerned}) > 1:
            # The client tells it in lower case, so it may be any of them. What arrived must not be told as
            # refused: who gets no answer runs into its deadline.
            return
        for one in concerned:
            one.fail(Refused(refused.status, refused.why))

    async def _lost(self) -> None:
        for one in list(self._waiting.values()):
            one.fail(ConnectionClosedError())


@contextmanager
def _doing(what: Coroutine[Any, Any, None]) -> Iterator[asyncio.Task[None]]:
    """Does something beside: while the client writes, it swallows the cancellation that a deadline brings."""
    task = asyncio.ensure_future(what)
    try:
        yield task
    finally:
        task.cancel()


async def first(client: CarefulClient, *awaited: asyncio.Future[Any]) -> None:
    """Waits until one of these is done.

    Raises:
        ConnectionClosedError: If the connection ends before.
    """
    while not any(one.done() for one in awaited):
        # The client does not tell of an end where it still had to write.
        if not client.is_connected:
            raise ConnectionClosedError
        await asyncio.wait(awaited, timeout=_LOOK_EACH, return_when=asyncio.FIRST_COMPLETED)
