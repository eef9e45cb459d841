"""Kombu's clients of AMQP and Redis, taught to open their sockets by way of a `Wire`."""

import socket
from typing import Any

import kombu.transport.pyamqp as kombu_amqp
import kombu.transport.redis as kombu_redis
import redis

from thornsdk_plugins.queue.wires import Wire

WIRE = "wire"
"""The transport option of kombu in which clients find their `Wire`."""


class _AmqpConnection(kombu_amqp.Connection):
    def __init__(self, *, wire: Wire, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]  # as kombu has them
        self._wire = wire

    def Transport(self, *args: object, **options: object) -> object:  # noqa: N802 - as py-amqp calls it
        transport: Any = super().Transport(*args, **options)  # type: ignore[arg-type]  # as py-amqp has them

        def connect(_host: str, _port: int, timeout: float) -> None:
            transport.sock = self._wire.dial(timeout)

        transport._connect = connect  # noqa: SLF001 - py-amqp has no other door
        self._wire.hold(lambda: transport.sock)
        return transport


class AmqpClient(kombu_amqp.Transport):
    """Kombu's transport for AMQP."""

    Connection = _AmqpConnection


class _PlainRedis(redis.Connection):
    def __init__(self, *, wire: Wire, **options: Any) -> None:  # noqa: ANN401 - as redis-py has them
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._wire = wire
        wire.hold(lambda: self._sock)

    def _connect(self) -> socket.socket:
        sock = self._wire.dial(float(self.socket_connect_timeout or 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(self.socket_timeout)
        return sock


class _SecureRedis(redis.SSLConnection, _PlainRedis):
    pass


class _RedisChannel(kombu_redis.Channel):
    connection_class = _PlainRedis
    connection_class_ssl = _SecureRedis

    @property
    def pool(self) -> redis.ConnectionPool:
        """That by which it has logged in: kombu would open a second connection to publish."""
        return self.async_pool  # type: ignore[no-any-return]

    def _connparams(self, *args: object, **options: object) -> dict[str, Any]:
        known: Any = super()
        client: Any = self.connection.client
        params: dict[str, Any] = known._connparams(*args, **options)  # noqa: SLF001 - its own
        return {**params, WIRE: client.transport_options[WIRE]}


class RedisClient(kombu_redis.Transport):
    """Kombu's transport for Redis."""

    Channel = _RedisChannel
