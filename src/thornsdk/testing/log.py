"""What the delivery log tells while a test runs."""

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog
from attrs import frozen

from thornsdk.logs import LOGGER


@frozen
class Told:
    """One thing that the delivery log told.

    Attributes:
        level: How grave it is, such as ``info``.
        event: What happened, such as ``delivery.delivered``.
        fields: The rest of it, by the names of the log reference.
    """

    level: str
    event: str
    fields: Mapping[str, object]


class DeliveryLogCapture:
    """Keeps what the delivery log tells; made by `capture_log`."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        """What was told, in its order."""

    def of(self, event: str) -> list[Mapping[str, object]]:
        """Gives the fields of each time that something was told, such as ``delivery.retry``."""
        return [one.fields for one in self.told if one.event == event]


@contextmanager
def capture_log() -> Iterator[DeliveryLogCapture]:
    """Keeps what the delivery log tells while this is open; it is told to the application as before.

    Where structlog is configured, what others tell through it is kept too, and nothing that its configuration
    filters out by level.

    Example:
        >>> from thornsdk import Thorn
        >>> from thornsdk.testing import Endpoint, answers, capture_log
        >>> with Endpoint(answers(503)) as endpoint, capture_log() as log:
        ...     with Thorn(allow_networks=["127.0.0.1"], allow_ports=[endpoint.port]) as thorn:
        ...         subscription = thorn.subscribe("order.*", endpoint.url)
        ...         receipt = thorn.event("order.created").send({"id": 42})
        >>> [fields["status"] for fields in log.of("delivery.retry")]
        [503]
    """
    capture = DeliveryLogCapture()
    with _of_structlog(capture) if structlog.is_configured() else _of_logging(capture):
        yield capture


@contextmanager
def _of_structlog(capture: DeliveryLogCapture) -> Iterator[None]:
    def keep(_: object, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        fields = dict(event)
        capture.told.append(Told(method, str(fields.pop("event")), fields))
        return event

    # The list is changed in its place: loggers that were made before hold it.
    processors = structlog.get_config()["processors"]
    processors.insert(0, keep)
    try:
        yield
    finally:
        processors.remove(keep)


class _Handler(logging.Handler):
    def __init__(self, capture: DeliveryLogCapture) -> None:
        super().__init__(logging.DEBUG)
        self._capture = capture

    def emit(self, record: logging.LogRecord) -> None:
        fields = dict(vars(record)[LOGGER])
        self._capture.told.append(Told(record.levelname.lower(), fields.pop("event"), fields))


@contextmanager
def _of_logging(capture: DeliveryLogCapture) -> Iterator[None]:
    logger, handler = logging.getLogger(LOGGER), _Handler(capture)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
