"""The connections to a broker: each with a thread of its own, opened when needed, ended when idle."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from attrs import evolve

from thornsdk import Reason, Request, Response, exchange
from thornsdk.errors import TransportError
from thornsdk_plugins.queue.destinations import Destination
from thornsdk_plugins.queue.failures import refused, translate
from thornsdk_plugins.queue.jobs import Job
from thornsdk_plugins.queue.links import Link


class Line:
    """One connection, opened anew where it broke. It is used by one thread.

    A connection of which it is not known what the broker has read and answered is thrown away: later messages
    would get the answers of earlier ones.

    Args:
        open_link: Opens the connection, and waits for so many seconds at most each time that it waits.
    """

    def __init__(self, open_link: Callable[[float], Link]) -> None:
        self._open_link = open_link
        self._link: Link | None = None

    def publish(self, job: Job, destination: Destination) -> Response:
        """Publishes the message of a job once; never a second time, whatever comes of it.

        Raises:
            TransportError: If the broker gave no answer in time.
        """
        reused = self._has_link_for(job.request)
        try:
            response = self._answer(job, destination)
        except Exception as exc:
            self._drop()
            if (error := translate(exc)) is not None:
                raise error from exc
            raise
        return evolve(response, reused=reused)

    def close(self) -> None:
        """Takes leave of the broker, if there is a connection."""
        if self._link is not None:
            with suppress(Exception):  # It is being closed: what the broker says of that is nobody's trouble.
                self._link.close()
            self._link = None

    def _answer(self, job: Job, destination: Destination) -> Response:
        try:
            link = self._link or self._open(job.request.timeout)
            return link.publish(job.request, destination, job.remaining())
        except Exception as exc:
            if (answer := refused(exc)) is None:
                raise
            return answer

    def _has_link_for(self, request: Request) -> bool:
        """Tells whether there is a connection that the broker has not closed. Nothing was sent yet."""
        if self._link is not None and not self._link.serves(request):
            self._drop()
        return self._link is not None

    def _open(self, timeout: float) -> Link:
        self._link = self._open_link(timeout)
        return self._link

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            with suppress(Exception):  # It is broken already.
                link.drop()


class Lines:
    """The connections to one broker. Safe to share between threads.

    A job goes to a connection that is free; where there is none, one more is opened, up to the limit; where
    there are as many, the job waits. A connection that no job comes for is closed after a while, and its
    thread ends.

    Args:
        open_link: Opens a connection, and waits for so many seconds at most each time that it waits.
        limit: How many connections there are at most.
        idle_timeout: After how many seconds an idle connection is closed.
    """

    def __init__(self, open_link: Callable[[float], Link], limit: int, idle_timeout: float) -> None:
        self._open_link = open_link
        self._limit = limit
        self._idle_timeout = idle_timeout
        self._changed = threading.Condition()
        self._jobs: deque[tuple[Job, Destination]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False

    def put(self, job: Job, destination: Destination) -> None:
        """Takes a job; its result comes when the broker has answered.

        Raises:
            TransportError: If there is no thread for it, and none can be started.
        """
        with self._changed:
            self._jobs.append((job, destination))
            if self._idle < len(self._jobs) and len(self._threads) < self._limit:
                self._start_thread()
            self._changed.notify()

    def close(self) -> list[threading.Thread]:
        """Closes idle connections at once, and those in use when their jobs end.

        Returns:
            The threads that do so.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return list(self._threads)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name="thornsdk-queue", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            if not self._threads:  # Otherwise, those that there are do the work.
                self._jobs.pop()
                raise TransportError(Reason.STAGE_FAILED, "no thread could be started for it") from exc
        else:
            self._threads.add(thread)

    def _work(self) -> None:
        line = Line(self._open_link)
        self._note_idle()
        while (todo := self._next()) is not None:
            job, destination = todo
            result = exchange(partial(_publish, line, job, destination), job.request).result
            # Whoever hears of the result may put the next job at once: it needs no other connection.
            self._note_idle()
            job.finish(result)
        line.close()

    def _note_idle(self) -> None:
        with self._changed:
            self._idle += 1

    def _next(self) -> tuple[Job, Destination] | None:
        """Waits for a job; None where none comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, self._idle_timeout)
            self._idle -= 1
            if self._jobs:
                return self._jobs.popleft()
            self._threads.discard(threading.current_thread())
            return None


def _publish(line: Line, job: Job, destination: Destination, _: Request) -> Response:
    if job.left() <= 0:
        raise TransportError(Reason.TIMEOUT, "the deadline passed before a connection to the broker was free")
    return line.publish(job, destination)
