"""A transport in a thread of its own, so that another one need not wait for it."""

import threading
from contextvars import copy_context
from queue import SimpleQueue
from typing import TypeAlias

from attrs import frozen

from thornsdk.attempts import InFlight
from thornsdk.errors import crash
from thornsdk.model import Exchange, Request
from thornsdk.stages import Transport


@frozen(eq=False)
class Wants:
    """The transport of a lane asks for a request."""

    lane: "Lane"


@frozen(eq=False)
class Came:
    """The transport of a lane gives a result."""

    lane: "Lane"
    exchange: Exchange


@frozen(eq=False)
class Ended:
    """The transport of a lane gives no more results.

    Attributes:
        lane: The lane.
        cause: What it did to the requests that it gave no results of.
        error: What is the caller's, such as an exit.
    """

    lane: "Lane"
    cause: str
    error: BaseException | None = None


Notice: TypeAlias = Wants | Came | Ended


class Lane:
    """Has a transport send many, in a thread; asks for each request, and tells each result, by notices.

    It has the context of who makes it.

    Args:
        transport: What sends.
        notices: Takes what it asks and tells.
    """

    def __init__(self, transport: Transport, notices: "SimpleQueue[Notice]") -> None:
        self.transport = transport
        self.in_flight: InFlight = {}
        self.wants: bool = False
        """Whether it waits for a request."""
        self.has_begun: bool = False
        """Whether it was given one."""
        self._notices = notices
        self._given: SimpleQueue[Request | None] = SimpleQueue()
        self._left = False
        run = copy_context().run
        self._thread = threading.Thread(target=run, args=(self._work,), name="thornsdk-lane", daemon=True)

    def start(self) -> None:
        """Starts its thread.

        Raises:
            RuntimeError: If the system has none left.
        """
        self._thread.start()

    def give(self, request: Request) -> None:
        """Gives it the request that it wants."""
        self.wants, self.has_begun = False, True
        self._given.put(request)

    def give_none(self) -> None:
        """Says that there are no more; what is in flight ends, and then the lane."""
        self.wants = False
        self._given.put(None)

    def leave(self) -> None:
        """Lets it finish what is in flight, of which nobody will hear."""
        self._left = True
        self._given.put(None)

    def join(self) -> None:
        """Waits until its thread, of which `Ended` was the last word, is gone."""
        self._thread.join()

    def __iter__(self) -> "Lane":
        return self

    def __next__(self) -> Request:
        if self._left:
            raise StopIteration
        self._notices.put(Wants(self))
        request = self._given.get()
        if request is None:
            raise StopIteration
        return request

    def _work(self) -> None:
        try:
            for exchange in self.transport.send_many(self):
                self._notices.put(Came(self, exchange))
        except Exception as exc:
            self._notices.put(Ended(self, crash(exc)))
        except BaseException as exc:  # Such as an exit: it is the caller's.
            self._notices.put(Ended(self, crash(exc), exc))
        else:
            self._notices.put(Ended(self, "lost the request"))
