"""How the demo shows what happens: a live table, plain lines, or JSON."""

from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from typing import Self
from uuid import UUID

from attrs import define, field, frozen
from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from thornsdk import DeliveryRecord, OutcomeKind
from thornsdk.cli import show
from thornsdk.cli.demo_cast import CAST, Desk, Subscriber
from thornsdk.logs import attempt_fields

_COLUMNS = {"subscriber": 10, "": 14, "event": 13, "answers": 17, "outcome": 11}


@define
class Row:
    """One delivery of the demo.

    Attributes:
        subscriber: Who is to get it.
        event: The event's name.
        records: Its attempts so far.
    """

    subscriber: Subscriber
    event: str
    records: list[DeliveryRecord] = field(factory=list)

    @property
    def kind(self) -> OutcomeKind | None:
        """What its latest attempt means; None before the first has ended."""
        return self.records[-1].kind if self.records else None

    @property
    def ended(self) -> bool:
        """Whether it is not attempted any more."""
        return self.kind not in {None, OutcomeKind.RETRY}

    @property
    def attempts(self) -> int:
        """How many attempts there were."""
        return self.records[-1].last.number if self.records else 0

    @property
    def answers(self) -> str:
        """What its attempts brought, such as ``500 → 200`` or ``timeout x3``."""
        runs = [(text, len(list(run))) for text, run in groupby(map(show.answer, self.records))]
        return " → ".join(text if count == 1 else f"{text} x{count}" for text, count in runs)


@frozen
class Ending:
    """What the demo came to.

    Attributes:
        rows: Its deliveries.
        desk: What the subscribers got.
        disabled: Why subscriptions were disabled, by the name of the subscriber.
        seconds: How long it took.
        skipped: What was not sent, for its subscriber was disabled by then.
    """

    rows: tuple[Row, ...]
    desk: Desk
    disabled: Mapping[str, str]
    seconds: float
    skipped: tuple[Row, ...] = ()

    def of(self, kind: OutcomeKind) -> list[Row]:
        """Gives the deliveries that came to an outcome."""
        return [row for row in self.rows if row.kind is kind]

    @property
    def untouched(self) -> list[Subscriber]:
        """The subscribers that nothing was sent to."""
        reached = {row.subscriber for row in self.rows}
        return [one for one in CAST if one not in reached]

    @property
    def attempts(self) -> int:
        """How many attempts there were."""
        return sum(row.attempts for row in self.rows)


class View:
    """Takes note of what happens; those below show it too."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.skipped: list[Row] = []
        self._subscribers: dict[UUID, Subscriber] = {}

    def subscribed(self, subscribers: Mapping[UUID, Subscriber], origin: str) -> None:
        """Is told who subscribed, and where the receiver is that plays them."""
        self._subscribers = dict(subscribers)

    def backed(self, redis: str, worker: int) -> None:
        """Is told what delivers with Celery: where its Redis is, and the process id of its worker."""

    def sending(self, event: str, to: Collection[UUID]) -> None:
        """Is told that an event is about to be sent."""
        self.rows.extend(Row(one, event) for key, one in self._subscribers.items() if key in to)

    def observe(self, record: DeliveryRecord) -> None:
        """Is told of an attempt."""
        subscriber = self._subscribers[record.subscription_id]
        if record.skipped:
            self.skipped.append(Row(subscriber, record.event, [record]))
            return
        row = next(one for one in self.rows if (one.subscriber, one.event) == (subscriber, record.event))
        row.records.append(record)
        self.attempted(row, record)

    def attempted(self, row: Row, record: DeliveryRecord) -> None:
        """Shows an attempt."""

    def ended(self, ending: Ending) -> None:
        """Shows what it came to."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends what moves."""


class JsonView(View):
    """Prints one line per attempt, and one that sums up; with Celery, one first that tells what delivers."""

    def backed(self, redis: str, worker: int) -> None:
        """Prints it."""
        show.print_json({"dispatcher": "celery", "broker": f"redis://{redis}/0", "worker": worker})

    def attempted(self, row: Row, record: DeliveryRecord) -> None:
        """Prints it."""
        show.print_json({"subscriber": row.subscriber.name, **attempt_fields(record)})

    def ended(self, ending: Ending) -> None:
        """Prints it."""
        retried = [row for row in ending.of(OutcomeKind.DELIVERED) if row.attempts > 1]
        summary: dict[str, object] = {
            "deliveries": len(ending.rows),
            "attempts": ending.attempts,
            **{kind.value: len(ending.of(kind)) for kind in OutcomeKind},
            "delivered_later": len(retried),
            "disabled": dict(ending.disabled),
            "skipped": len(ending.skipped),
            "received": ending.desk.received,
            "authentic": ending.desk.authentic,
            "verified": {scheme.value: count for scheme, count in ending.desk.verified.items()},
            "seconds": round(ending.seconds, 3),
        }
        show.print_json({"summary": summary})


class LinesView(View):
    """Prints one line per attempt, and at the end a table and what it came to."""

    def __init__(self) -> None:
        super().__init__()
        self._console = show.console()

    def subscribed(self, subscribers: Mapping[UUID, Subscriber], origin: str) -> None:
        """Introduces them."""
        super().subscribed(subscribers, origin)
        self._console.print(introduction(origin))

    def backed(self, redis: str, worker: int) -> None:
        """Introduces them."""
        self._console.print(crew(redis, worker))

    def attempted(self, row: Row, record: DeliveryRecord) -> None:
        """Prints it."""
        who = Text(f"{row.subscriber.name:<10} {row.event:<14} ")
        self._console.print(who.append(show.attempt(record)), soft_wrap=True)

    def ended(self, ending: Ending) -> None:
        """Prints it."""
        self._console.print(board(self.rows))
        self._console.print(conclusion(ending))


class LiveView(View):
    """Shows a table that changes as things happen, and at the end what it came to."""

    def __init__(self) -> None:
        super().__init__()
        self._console = show.console()
        self._spinner = Spinner("dots")
        self._live = Live(self._picture(), console=self._console, refresh_per_second=12.5)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the table as it is."""
        self._live.stop()

    def subscribed(self, subscribers: Mapping[UUID, Subscriber], origin: str) -> None:
        """Introduces them, above the table."""
        super().subscribed(subscribers, origin)
        self._console.print(introduction(origin))

    def backed(self, redis: str, worker: int) -> None:
        """Introduces them, above the table."""
        self._console.print(crew(redis, worker))

    def sending(self, event: str, to: Collection[UUID]) -> None:
        """Shows what is in flight."""
        super().sending(event, to)
        self._show(f"sending {event}")

    def attempted(self, row: Row, record: DeliveryRecord) -> None:
        """Shows it."""
        waiting = sum(one.kind is OutcomeKind.RETRY for one in self.rows)
        self._show(f"{waiting} to be attempted again" if waiting else "sending")

    def ended(self, ending: Ending) -> None:
        """Leaves the table as it is, and prints what it came to."""
        self._live.update(board(self.rows))
        self._live.stop()
        self._console.print(conclusion(ending))

    def _show(self, doing: str) -> None:
        self._spinner.update(text=Text(doing, "dim"))
        self._live.update(self._picture())

    def _picture(self) -> RenderableType:
        return Group(board(self.rows), self._spinner)


def introduction(origin: str) -> Text:
    """Says what is going to be seen."""
    return Text.assemble(
        (f"{len(CAST)} subscribers, all played by a receiver at ", "dim"),
        (origin, "bold"),
        ("; every request is real.", "dim"),
    )


def crew(redis: str, worker: int) -> Text:
    """Says what delivers with Celery."""
    return Text.assemble(
        ("Delivered by a Celery worker, process ", "dim"),
        (str(worker), "bold"),
        (", over Redis at ", "dim"),
        (redis, "bold"),
        (".", "dim"),
    )


def board(rows: Iterable[Row]) -> Table:
    """Draws the table of deliveries."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name, width in _COLUMNS.items():
        # Wide enough from the beginning, so that the table does not jump.
        table.add_column(name, no_wrap=True, min_width=width)
    for row in rows:
        state = Text("… sending", "dim") if row.kind is None else show.outcome(row.kind)
        habit = Text(row.subscriber.habit, "dim")
        table.add_row(Text(row.subscriber.name, "bold"), habit, row.event, row.answers, state)
    return table


def conclusion(ending: Ending) -> Group:
    """Says what the demo came to, and what to try next."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for kind in OutcomeKind:
        if rows := ending.of(kind):
            sign, colour = show.SIGNS[kind]
            table.add_row(Text(f"{sign} {len(rows)} {kind}", colour), Text("\n").join(map(_told, rows)))
    for name, why in ending.disabled.items():
        table.add_row(Text("! 1 disabled", "red"), Text(f"{name}: {why}"))
    for row in ending.skipped:
        kept = f"{row.subscriber.name} {row.event}: kept, to be replayed once it is enabled"
        table.add_row(Text("○ 1 skipped", "dim"), Text(kept))
    for one in ending.untouched:
        table.add_row(Text("○ 1 not sent", "dim"), Text(f"{one.name}: tenants never get each other's events"))
    desk = ending.desk
    proofs = ", ".join(f"{count} by {scheme}" for scheme, count in desk.verified.items())
    table.add_row(
        Text(f"✓ {desk.authentic} verified", "cyan"), Text(f"of {desk.received} received: {proofs}")
    )
    head = f"{len(ending.rows)} deliveries, {ending.attempts} attempts, {ending.seconds:.1f} s"
    return Group(Text(head, "bold"), Text(), table, Text(), _next_steps())


def _told(row: Row) -> Text:
    """Tells how a delivery ended, and why."""
    last = row.records[-1].last
    count = row.attempts
    told = Text.assemble((row.subscriber.name, "bold"), f" {row.event}")
    if row.kind is not OutcomeKind.DELIVERED:
        told.append(f": {last.detail or f'answered {last.status}'}")
    return told.append(f", after {count} attempts", "dim") if count > 1 else told


def _next_steps() -> Group:
    return Group(
        Text("Try next, in two terminals:", "bold"),
        Text("  thornsdk listen --secret s3cret", "cyan"),
        Text(
            "  thornsdk send order.created --data '{\"id\": 42}' --secret s3cret \\\n"
            "    --to http://127.0.0.1:8080/ --allow-network 127.0.0.1 --allow-port 8080",
            "cyan",
        ),
    )
