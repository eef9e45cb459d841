"""What tests of plugins and of applications need: a real subscriber, fakes, and a clock of their own.

`thornsdk.testing.suites` holds the promises of each kind of stage, as tests to inherit from.
`thornsdk.testing.fixtures` holds fixtures for pytest, for those who ask for them.
"""

from thornsdk.testing.behaviours import (
    answers,
    closes,
    drips,
    hangs,
    in_turn,
    never_answers,
    once_then,
    resets,
    says,
    waits,
)
from thornsdk.testing.certificates import Authority
from thornsdk.testing.clocks import FakeClock, FakeSleep
from thornsdk.testing.endpoint import Behaviour, Endpoint, Handler, Seen
from thornsdk.testing.log import DeliveryLogCapture, Told, capture_log
from thornsdk.testing.reaching import Reaching, reaching
from thornsdk.testing.resolving import fixed_resolver
from thornsdk.testing.stages import (
    Answer,
    RecordingDispatcher,
    RecordingObserver,
    RecordingSigner,
    RecordingTransport,
)
from thornsdk.testing.values import (
    make_accepted,
    make_claim,
    make_delivery,
    make_message,
    make_record,
    make_request,
    make_subscription,
    make_taken,
)

__all__ = [
    "Answer",
    "Authority",
    "Behaviour",
    "DeliveryLogCapture",
    "Endpoint",
    "FakeClock",
    "FakeSleep",
    "Handler",
    "Reaching",
    "RecordingDispatcher",
    "RecordingObserver",
    "RecordingSigner",
    "RecordingTransport",
    "Seen",
    "Told",
    "answers",
    "capture_log",
    "closes",
    "drips",
    "fixed_resolver",
    "hangs",
    "in_turn",
    "make_accepted",
    "make_claim",
    "make_delivery",
    "make_message",
    "make_record",
    "make_request",
    "make_subscription",
    "make_taken",
    "never_answers",
    "once_then",
    "reaching",
    "resets",
    "says",
    "waits",
]
