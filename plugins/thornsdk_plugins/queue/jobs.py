"""Requests on their way: who sends them waits for each until its deadline, and no longer."""

import queue
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from attrs import define, field

from thornsdk import Exchange, Reason, Request, Response
from thornsdk.errors import TransportError
from thornsdk_plugins.queue.failures import LATE


@define(eq=False)
class Job:
    """One request on its way. It begins when it is made.

    Attributes:
        request: What is to be published.
        result: What came of it; None until that is known.
        give_up: Is called when its deadline has passed, and gives what is to be told of that.
    """

    request: Request
    _finished: "queue.SimpleQueue[Job]"
    result: Response | TransportError | None = field(default=None, init=False)
    give_up: "Callable[[Job], str]" = field(default=lambda _: LATE, init=False)
    _started_at: datetime = field(factory=lambda: datetime.now(UTC), init=False)
    _begin: float = field(factory=time.monotonic, init=False)

    def left(self) -> float:
        """Gives the seconds that are left until its deadline."""
        return self.request.timeout - self._elapsed()

    def finish(self, result: Response | TransportError) -> None:
        """Sets the result, and tells who waits."""
        self.result = result
        self._finished.put(self)

    def exchange(self, result: Response | TransportError) -> Exchange:
        """Gives what is told of it."""
        return Exchange(
            request=self.request, result=result, started_at=self._started_at, duration=self._elapsed()
        )

    def _elapsed(self) -> float:
        return time.monotonic() - self._begin


class Flight:
    """The jobs that one caller waits for.

    Kombu's connections know no deadlines: a name server, a handshake or an answer in drips can hold them for
    longer. So they are driven by threads of their own, and what is not back in time is given up.
    """

    def __init__(self) -> None:
        self._finished: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._jobs: set[Job] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def begin(self, request: Request) -> Job:
        """Begins to wait for what comes of a request."""
        job = Job(request, self._finished)
        self._jobs.add(job)
        return job

    def ended(self) -> list[Exchange]:
        """Waits for a result or a deadline, and gives what has ended: perhaps nothing."""
        patience = min(one.left() for one in self._jobs)
        with suppress(queue.Empty):
            job = self._finished.get(timeout=max(patience, 0.0))
            # One that is not here was given up at its deadline.
            return [self._end(job, job.result)] if job.result and job in self._jobs else []
        late = [one for one in self._jobs if one.left() <= 0]
        return [self._end(one, TransportError(Reason.TIMEOUT, one.give_up(one))) for one in late]

    def _end(self, job: Job, result: Response | TransportError) -> Exchange:
        self._jobs.remove(job)
        return job.exchange(result)
