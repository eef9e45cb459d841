"""The connections to a broker: each with a thread of its own, opened when needed, ended when idle."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from attrs import evolve

from thornsdk import Reason, Request, Response, exchange
from thornsdk.errors import TransportError
from thornsdk_plugins.queue.destinations import Destination
from thornsdk_plugins.queue.failures import LATE, refused, translate
from thornsdk_plugins.queue.jobs import Job
from thornsdk_plugins.queue.links import Link

_NONE_FREE: Final = "the deadline passed before a connection to the broker was free"
_OPENED_LATE: Final = "the deadline passed before the connection to the broker was open"


class Line:
    """One connection, opened anew where it broke. It is used by one thread.

    A connection of which it is not known what the broker has read and answered is thrown away: later messages
    would get the answers of earlier ones. One that opened too late, with nothing published on it, serves the
    next message.

    Args:
        make_link: Makes a connection that is not open yet.
    """

    def __init__(self, make_link: Callable[[], Link]) -> None:
        self._make_link = make_link
        self._link: Link | None = None
        self._why_late = LATE
        self._is_publishing = False

    def publish(self, job: Job, destination: Destination) -> Response:
        """Publishes the message of a job once; never a second time, whatever comes of it.

        Raises:
            TransportError: If the broker gave no answer in time.
        """
        reused = self._has_link_for(job.request)
        try:
            link = self._link or self._open(job.request.timeout)
            timeout = job.left()
            if timeout > 0:
                return evolve(self._publish(link, job.request, destination, timeout), reused=reused)
        except Exception as exc:
            if (answer := refused(exc)) is not None:
                return evolve(answer, reused=reused)
            if (error := self._failure(exc, job)) is not None:
                raise error from exc
            raise
        raise TransportError(Reason.TIMEOUT, _OPENED_LATE)

    def end_if_overdue(self, job: Job) -> None:
        """Has its thread wait for the broker no longer, if it is late with a job. Any thread may do so.

        Opening may take as long again as the job could: the connection is of use to the next one.
        """
        link = self._link
        if link is not None and job.left() <= (0.0 if self._is_publishing else -job.request.timeout):
            link.shut()

    def why_late(self) -> str:
        """Gives what is known of why the broker does not answer. Any thread may ask."""
        link = self._link
        return self._why_late if link is None else link.why_late

    def close(self) -> None:
        """Takes leave of the broker, if there is a connection."""
        if self._link is not None:
            with suppress(Exception):  # It is being closed: what the broker says of that is nobody's trouble.
                self._link.close()
            self._link = None

    def _publish(self, link: Link, request: Request, destination: Destination, timeout: float) -> Response:
        self._is_publishing = True
        try:
            return link.publish(request, destination, timeout)
        finally:
            self._is_publishing = False

    def _failure(self, exc: Exception, job: Job) -> TransportError | None:
        self._drop()
        error = translate(exc)
        # After the deadline, it may be broken because it was shut down for that.
        if error is not None and (error.reason is Reason.TIMEOUT or job.left() <= 0):
            return TransportError(Reason.TIMEOUT, self._why_late)
        return error

    def _has_link_for(self, request: Request) -> bool:
        """Tells whether there is a connection that the broker has not closed. Nothing was sent yet."""
        if self._link is not None and not self._link.serves(request):
            self._drop()
        return self._link is not None

    def _open(self, timeout: float) -> Link:
        self._why_late = LATE
        link = self._link = self._make_link()
        try:
            link.open(timeout)
        except BaseException:
            self._drop()
            raise
        return link

    def _drop(self) -> None:
        self._why_late = self.why_late()
        link, self._link = self._link, None
        if link is not None:
            with suppress(Exception):  # It is broken already.
                link.drop()


class Lines:
    """The connections to one broker. Safe to share between threads.

    A job goes to a connection that is free; where there is none, one more is opened, up to the limit; where
    there are as many, the job waits. A connection that no job comes for is closed after a while, and its
    thread ends.

    A job whose deadline has passed is given up: where it waits, it is forgotten; where a connection waits for
    the broker, that connection ends. So a broker that never stops to answer holds nothing for ever.

    Args:
        make_link: Makes a connection that is not open yet.
        limit: How many connections there are at most.
        idle_timeout: After how many seconds an idle connection is closed.
    """

    def __init__(self, make_link: Callable[[], Link], limit: int, idle_timeout: float) -> None:
        self._make_link = make_link
        self._limit = limit
        self._idle_timeout = idle_timeout
        self._changed = threading.Condition()
        self._jobs: deque[tuple[Job, Destination]] = deque()
        self._threads: set[threading.Thread] = set()
        self._busy: dict[Line, Job] = {}
        self._idle = 0
        self._closed = False

    def put(self, job: Job, destination: Destination) -> None:
        """Takes a job; its result comes when the broker has answered.

        Raises:
            TransportError: If there is no thread for it, and none can be started.
        """
        job.give_up = self._give_up
        with self._changed:
            self._end_overdue()
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

    def _give_up(self, job: Job) -> str:
        """Forgets a job whose deadline has passed; gives what is to be told of that."""
        with self._changed:
            waiting = next((one for one in self._jobs if one[0] is job), None)
            if waiting is not None:
                self._jobs.remove(waiting)
                return _NONE_FREE
            told = next((line.why_late() for line, begun in self._busy.items() if begun is job), LATE)
            self._end_overdue()
            return told

    def _end_overdue(self) -> None:
        for line, job in self._busy.items():
            line.end_if_overdue(job)

    def _work(self) -> None:
        line = Line(self._make_link)
        self._note_idle(line)
        while (todo := self._next(line)) is not None:
            job, destination = todo
            result = exchange(partial(_publish, line, job, destination), job.request).result
            # Whoever hears of the result may put the next job at once: it needs no other connection.
            self._note_idle(line)
            job.finish(result)
        line.close()

    def _note_idle(self, line: Line) -> None:
        with self._changed:
            self._busy.pop(line, None)
            self._idle += 1

    def _next(self, line: Line) -> tuple[Job, Destination] | None:
        """Waits for a job; None where none comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, self._idle_timeout)
            self._idle -= 1
            if self._jobs:
                todo = self._jobs.popleft()
                self._busy[line] = todo[0]
                return todo
            self._threads.discard(threading.current_thread())
            return None


def _publish(line: Line, job: Job, destination: Destination, _: Request) -> Response:
    if job.left() <= 0:
        raise TransportError(Reason.TIMEOUT, _NONE_FREE)
    return line.publish(job, destination)
