"""What is measured in sending: scenarios, the ways that take part in each, and the figures to reach."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

IN_FLIGHT: Final = 64
SLOW: Final = 0.05


@frozen
class Entry:
    """A way in a scenario.

    Attributes:
        name: What the tables call it.
        module: The module of ``rig.peers`` that sends.
        share: How many deliveries a round has, as a share of the subscribers: what is slow sends fewer, what
            is over at once sends to all of them several times.
        options: What the module is told.
        own: Whether it is thornsdk.
        one_authority: Whether it trusts the receiver's authority alone, and not the public ones besides.
    """

    name: str
    module: str
    share: float = 1.0
    options: Mapping[str, object] = {}
    own: bool = False
    one_authority: bool = False


@frozen(kw_only=True)
class Receiving:
    """What a scenario's receiver does: on how many ports it listens, how long it waits, and if it has TLS."""

    origins: int = 1
    delay: float = 0.0
    tls: bool = False


@frozen(kw_only=True)
class Scenario:
    """Ways that are measured in turn, round by round.

    Attributes:
        key: Its short name.
        title: What the tables call it.
        entries: The ways. A table compares each with the first, if it has no ideal.
        receiving: What the receiver does; None where nothing is sent.
        subscribers: Whether there are many; or one, that gets one event after the other.
        ideal_in_flight: How many in flight make the ideal rate, to a receiver that waits; 0 for none.
    """

    key: str
    title: str
    entries: tuple[Entry, ...]
    receiving: Receiving | None = Receiving()
    subscribers: bool = True
    ideal_in_flight: int = 0


@frozen(kw_only=True)
class Aim:
    """A figure to reach: a way's rate as a share of another's, or its CPU for a delivery.

    Attributes:
        scenario: The key of the scenario.
        way: What is measured.
        against: The way that it is compared with; ``ideal``; or none, and CPU counts.
        limit: The least ratio, or the most microseconds of CPU.
    """

    scenario: str
    way: str
    against: str
    limit: float


IDEAL: Final = "ideal"
NAIVE: Final = "requests, new session"
NAIVE_SMALL: Final = "requests, new session, one CA"
BARE: Final = "urllib3 by hand"
AIOHTTP: Final = "aiohttp, 64 in flight"
LOOP: Final = "socket loop, 64 in flight"
URLLIB3: Final = "thornsdk, urllib3"
CURL: Final = "thornsdk, curl"
PIPELINE: Final = "thornsdk, no transport"

_64: Final = {"in_flight": IN_FLIGHT}
_WIDTH: Final = {"concurrency": IN_FLIGHT, "concurrency_per_origin": IN_FLIGHT}


def _ours(transport: str, share: float = 1.0, **options: object) -> Entry:
    name = {"urllib3": URLLIB3, "curl": CURL}[transport]
    return Entry(name, "ours", share, {"transport": transport, **options}, own=True)


def _alone(transport: str, share: float) -> Entry:
    """Gives a transport without the pipeline."""
    return Entry(
        f"its transport {transport} alone", "transport_alone", share, {"transport": transport}, own=True
    )


def _less(name: str, **options: bool) -> Entry:
    """Gives the pipeline without some of what it does."""
    return Entry(f"the same, {name}", "no_transport", 3.0, options, own=True)


def scenarios(subscribers: int, origins: int) -> tuple[Scenario, ...]:
    """Gives all of them.

    Args:
        subscribers: How many there are where there are many.
        origins: How many origins there are where there are many.
    """
    many = f"One event to {subscribers:,} subscribers"
    return (
        Scenario(
            key="turn",
            title="One delivery after the other, to one subscriber",
            subscribers=False,
            entries=(
                Entry(NAIVE, "new_session", 0.3),
                Entry("requests, one session", "one_session", 0.5, {"threads": 1}),
                Entry(BARE, "bare_urllib3"),
                _ours("urllib3"),
                _ours("curl"),
            ),
        ),
        Scenario(
            key="many",
            title=many,
            entries=(
                Entry(NAIVE, "new_session", 0.3),
                Entry("requests, 32 threads", "one_session", 0.5, {"threads": 32}),
                Entry("httpx, 64 in flight", "httpx_async", 0.1, _64),
                Entry(AIOHTTP, "aiohttp_async", 2.0, _64),
                Entry(LOOP, "socket_loop", 20.0, _64),
                _ours("urllib3"),
                _ours("curl", 3.0),
                _alone("urllib3", 2.0),
                _alone("curl", 5.0),
            ),
        ),
        Scenario(
            key="slow",
            title=f"{many} that answer after {SLOW * 1000:.0f} ms, {IN_FLIGHT} in flight",
            receiving=Receiving(delay=SLOW),
            ideal_in_flight=IN_FLIGHT,
            entries=(
                Entry(AIOHTTP, "aiohttp_async", 1.0, _64),
                _ours("urllib3", **_WIDTH),
                _ours("curl", **_WIDTH),
            ),
        ),
        Scenario(
            key="https",
            title=f"{many} on {origins} origins, over HTTPS with warm connections",
            receiving=Receiving(origins=origins, tls=True),
            entries=(
                Entry(NAIVE, "new_session", 0.03),
                Entry(NAIVE_SMALL, "new_session", 0.1, one_authority=True),
                Entry(AIOHTTP, "aiohttp_async", 1.0, _64),
                _ours("urllib3"),
                _ours("curl", 2.0),
            ),
        ),
        Scenario(
            key="pipeline",
            title=f"{many}, with a transport that answers at once",
            receiving=None,
            entries=(
                Entry(PIPELINE, "no_transport", 3.0, own=True),
                _less("nobody writes the log", written=False),
                _less("nothing is logged", logged=False),
                _less("nor signed", logged=False, signed=False),
            ),
        ),
    )


AIMS: Final = (
    Aim(scenario="turn", way=URLLIB3, against=BARE, limit=1.0),
    Aim(scenario="many", way=URLLIB3, against=NAIVE, limit=3.0),
    Aim(scenario="slow", way=URLLIB3, against=IDEAL, limit=0.85),
    Aim(scenario="many", way=CURL, against=NAIVE, limit=15.0),
    Aim(scenario="many", way=CURL, against=AIOHTTP, limit=2.0),
    Aim(scenario="many", way=CURL, against=LOOP, limit=0.5),
    Aim(scenario="https", way=URLLIB3, against=NAIVE, limit=40.0),
    Aim(scenario="https", way=CURL, against=NAIVE, limit=150.0),
    Aim(scenario="pipeline", way=PIPELINE, against="", limit=40.0),
)
