"""An event loop in a thread of its own, for the client knows no other way to run."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import TypeAlias

from thornsdk import Exchange, Request
from thornsdk_plugins.nats.hub import Hub

Tell: TypeAlias = Callable[[Exchange], None]


class LoopThread:
    """A thread with an event loop, in which requests are sent side by side.

    It ends when it is told to, and everything that was begun has ended.

    Args:
        hub: What sends.

    Raises:
        OSError: If the system has no more file descriptors.
        RuntimeError: If it has no more threads.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._ending = asyncio.Event()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._begun = self._ended = 0
        made: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._run, args=[made], name="thornsdk-nats", daemon=True)
        self._thread.start()
        self._loop = made.result()

    def begin(self, request: Request, tell: Tell) -> None:
        """Begins to send a request.

        Args:
            request: The request.
            tell: Is given the result, in the thread of the loop.
        """
        self._begun += 1
        self._loop.call_soon_threadsafe(self._begin, request, datetime.now(UTC), time.monotonic(), tell)

    def end(self) -> None:
        """Ends the thread at once, or as soon as everything that was begun has ended."""
        is_idle = self._begun == self._ended
        self._loop.call_soon_threadsafe(self._ending.set)
        if is_idle:
            self._thread.join()

    def _run(self, made: "Future[asyncio.AbstractEventLoop]") -> None:
        runner = asyncio.Runner()
        try:
            loop = runner.get_loop()
        except Exception as exc:
            made.set_exception(exc)
            return
        # What the client leaves behind is told as the result of a request already.
        loop.set_exception_handler(lambda *_: None)
        made.set_result(loop)
        with runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        await self._ending.wait()
        while self._in_flight:
            await asyncio.wait(self._in_flight)
        await self._hub.close()

    def _begin(self, request: Request, at: datetime, begin: float, tell: Tell) -> None:
        sending = self._loop.create_task(self._send(request, at, begin, tell))
        self._in_flight.add(sending)
        sending.add_done_callback(self._in_flight.discard)

    async def _send(self, request: Request, at: datetime, begin: float, tell: Tell) -> None:
        # A loop may count its time from a beginning of its own.
        left = begin + request.timeout - time.monotonic()
        result = await self._hub.send(request, self._loop.time() + left)
        self._ended += 1
        tell(Exchange(request=request, result=result, started_at=at, duration=time.monotonic() - begin))
