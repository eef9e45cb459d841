"""Hands tasks to the broker."""

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from uuid import uuid4

from celery import Celery
from kombu import Connection, Producer
from kombu.pools import ProducerPool

from thornsdk.errors import ConfigurationError, DispatchError, ThornError
from thornsdk_plugins.celery.codec import Document

MAX_BYTES: Final = 8 * 1024 * 1024
"""How long the bodies in a task may be together, in bytes as they travel: half of what RabbitMQ 4 takes."""

_CONNECT_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
_CONNECTIONS = 10
# A broker that restarts is gone for a moment, and breaks the connections that were open.
_RECONNECT = {
    "connect_retries_timeout": 0.5,
    "interval_start": 0.1,
    "interval_step": 0.1,
    "interval_max": 0.3,
}

_OPTIONS: Final[Mapping[str, Mapping[str, object]]] = {
    # A message counts as taken when the broker has confirmed it.
    "amqp": {"confirm_publish": True, "read_timeout": _ANSWER_SECONDS, "write_timeout": _ANSWER_SECONDS},
    "redis": {"socket_connect_timeout": _CONNECT_SECONDS, "socket_timeout": _ANSWER_SECONDS},
}
_KIND = {"pyamqp": "amqp", "amqps": "amqp", "rediss": "redis", "sentinel": "redis"}


class Publisher:
    """Hands tasks to the broker of a Celery app, over connections of its own.

    It never waits for long, and takes no answer for granted: what it returns from, the broker has. A process
    that was forked opens its own connections.

    Args:
        app: Gives the app, when it is first needed.
    """

    def __init__(self, app: Callable[[], Celery]) -> None:
        self._make_app = app
        self._app: Celery | None = None
        # By process: those of a parent are never touched, for it still talks over them.
        self._pools: dict[int, ProducerPool] = {}

    @property
    def app(self) -> Celery:
        """The app."""
        if self._app is None:
            self._app = self._make_app()
        return self._app

    def publish(
        self,
        task: str,
        document: Document,
        *,
        queue: str,
        about: str,
        eta: datetime | None = None,
        expires: float | None = None,
    ) -> str:
        """Hands over a task.

        Args:
            task: The name of the task.
            document: What it is to do.
            queue: Where it goes.
            about: What logs and monitors show of it, in place of the document.
            eta: When it may begin.
            expires: After how many seconds it is not worth doing any more.

        Returns:
            The task's id.

        Raises:
            DispatchError: If the broker has not taken it, or has not said in time that it has.
            ConfigurationError: If there is no broker.
        """
        task_id = str(uuid4())

        def hand_over(producer: Producer) -> None:
            self.app.send_task(
                task,
                args=[document],
                task_id=task_id,
                producer=producer,
                queue=declared(self.app, queue),
                serializer="json",
                eta=eta,
                expires=expires,
                ignore_result=True,
                add_to_parent=False,
                retry=False,
                argsrepr=f"({about},)",
                kwargsrepr="{}",
            )

        self._persist(hand_over)
        return task_id

    def close(self) -> None:
        """Closes the connections. Closing twice does no harm."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            # The producers hold nothing; the connections that they borrow have a pool of their own.
            pool.connections.force_close_all()

    def _persist(self, hand_over: Callable[[Producer], None]) -> None:
        """Hands over, a second time where the connection was refused or broken."""
        try:
            try:
                self._try(hand_over)
            except Exception as exc:
                # After a time-out the broker may have it, and would have it twice.
                if isinstance(exc, ThornError) or _timed_out(exc):
                    raise
                self._try(hand_over)
        except ThornError:
            raise
        except Exception as exc:
            raise DispatchError("celery", self._problem(exc)) from exc

    def _try(self, hand_over: Callable[[Producer], None]) -> None:
        with self._producers().acquire(block=True, timeout=_ANSWER_SECONDS) as producer:
            try:
                hand_over(producer)
            except Exception:
                # What is left of the connection is thrown away; it is opened anew when it is used again.
                producer.connection.collect()  # type: ignore[union-attr]  # missing in the stubs
                raise

    def _producers(self) -> ProducerPool:
        process = os.getpid()
        # Of several threads that come at once, one's pool stays; those of the others have opened nothing.
        return self._pools.get(process) or self._pools.setdefault(process, self._new_pool())

    def _new_pool(self) -> ProducerPool:
        connections = self._connection().Pool(limit=_CONNECTIONS)
        return ProducerPool(connections, limit=_CONNECTIONS, Producer=self.app.amqp.Producer)

    def _connection(self) -> Connection:
        app = self.app
        try:
            kind = app.connection_for_write().transport_cls
            options = {**_RECONNECT, **_OPTIONS.get(_KIND.get(kind, kind), {})}
            connection = app.connection_for_write(connect_timeout=_CONNECT_SECONDS, transport_options=options)
            connection.get_transport_cls()
        except Exception as exc:
            # The text may hold the password.
            raise ConfigurationError(
                f"the broker of the Celery app {app.main!r} cannot be used ({type(exc).__name__}): its URL "
                f"is wrong, or a package for it is missing"
            ) from None
        return connection

    def _problem(self, error: Exception) -> str:
        broker = self._connection().as_uri()
        if _timed_out(error):
            return f"the broker {broker} did not answer in time; it may have the message all the same"
        return f"the broker {broker} did not take it ({type(error).__name__}: {error})"


def _timed_out(error: BaseException | None) -> bool:
    """Tells whether a time-out is behind an error. That of Redis is of a class of its own."""
    while error is not None:
        if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError":
            return True
        error = error.__cause__ or error.__context__
    return False


def declared(app: Celery, name: str) -> str:
    """Declares a queue as the app makes those that it does not name itself; gives its name."""
    queues = app.amqp.queues
    if name not in queues:
        queues.add(queues.new_missing(name))
    return name
