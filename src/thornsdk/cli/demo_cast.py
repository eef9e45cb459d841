"""Who plays in the demo: the events, and the subscribers with their habits."""

import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

from attrs import field, frozen

from thornsdk import Digest
from thornsdk.cli.receiver import Arrival
from thornsdk.errors import InvalidSignature
from thornsdk.receive import Scheme, verify

TENANT = "acme"
HANGING = 0
"""In place of a status: no answer comes."""

_SCHEMES = (Scheme.STANDARD_WEBHOOKS, Scheme.HOOK_HMAC)


@frozen
class OrderCreated:
    """The payload of ``order.created``."""

    order: int
    total: Decimal
    items: tuple[str, ...]
    at: datetime = field(factory=lambda: datetime.now(UTC))


@frozen
class OrderPaid:
    """The payload of ``order.paid``."""

    order: int
    method: str


@frozen
class InvoiceSent:
    """The payload of ``invoice.sent``."""

    invoice: str
    due: date


@frozen(kw_only=True)
class Subscriber:
    """One who subscribes in the demo.

    Attributes:
        name: Who it is; also the path of its URL.
        habit: What is special with it, in a few words.
        patterns: The events that it wants.
        answers: The statuses that it answers with, in turn; the last one stays.
        owner: The tenant that it belongs to.
        url: Where it says it is; by default at the receiver.
        content_type: How it wants payloads written.
        digest: The hash function of its ``Hook-HMAC``.
    """

    name: str
    habit: str
    patterns: tuple[str, ...]
    answers: tuple[int, ...] = (200,)
    owner: str | None = None
    url: str | None = None
    content_type: str = "application/json"
    digest: Digest = Digest.SHA256


CAST = (
    Subscriber(name="billing", habit="all is well", patterns=("order.*",)),
    Subscriber(
        name="warehouse",
        habit="takes forms",
        patterns=("order.created",),
        content_type="application/x-www-form-urlencoded",
        digest=Digest.SHA512,
    ),
    Subscriber(name="crm", habit="500 at first", patterns=("order.created",), answers=(500, 200)),
    Subscriber(name="archive", habit="far too slow", patterns=("order.created",), answers=(HANGING,)),
    Subscriber(name="former", habit="gone for good", patterns=("order.*",), answers=(410,)),
    Subscriber(name="legacy", habit="500, always", patterns=("order.paid",), answers=(500,)),
    # The old spelling of 169.254.169.254, where clouds keep their secrets: resolvers still understand it.
    Subscriber(
        name="attacker",
        habit="hidden address",
        patterns=("order.paid",),
        url="http://0xa9fea9fe/latest/meta-data",
    ),
    Subscriber(name=TENANT, habit="a tenant's own", patterns=("invoice.*",), owner=TENANT),
    Subscriber(name="globex", habit="another tenant's", patterns=("invoice.*",), owner="globex"),
)


class Desk:
    """Answers for the subscribers, and verifies what they get.

    Attributes:
        secrets: The secret of each subscriber, by name.
        received: How many requests came.
        authentic: How many of them some scheme proved.
        verified: How many of them each of the schemes proved that are on by default.
        stopping: Set when the demo ends: who does not answer does not wait for longer.
    """

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.received = 0
        self.authentic = 0
        self.verified: Counter[Scheme] = Counter(dict.fromkeys(_SCHEMES, 0))
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._answers: Mapping[str, list[int]] = {one.name: list(one.answers) for one in CAST}

    def answer(self, arrival: Arrival) -> int:
        """Verifies a request, and answers it as its subscriber does."""
        name = arrival.path.strip("/")
        proofs = [scheme for scheme in _SCHEMES if _proves(scheme, arrival, self.secrets[name])]
        with self._lock:
            self.received += 1
            self.authentic += bool(proofs)
            self.verified.update(proofs)
            left = self._answers[name]
            status = left.pop(0) if len(left) > 1 else left[0]
        if status == HANGING:
            self.stopping.wait()
            return 503
        return status


def _proves(scheme: Scheme, arrival: Arrival, secret: str) -> bool:
    try:
        verify(arrival.headers, arrival.body, secrets=secret, accept=[scheme])
    except InvalidSignature:
        return False
    return True
