"""How a delivery and its attempts are shown."""

from collections.abc import Iterable, Iterator

from rich.cells import chop_cells
from rich.text import Text

from thornsdk import Attempt, DeliveryRecord, DeliveryState, Timings
from thornsdk.cli import show
from thornsdk.logs import attempt_fields, identity_fields, result_fields

COLUMNS = ("delivery", "event", "outcome")
"""The columns of a list."""

MAX_ANSWER = 300
"""How much of an answer people are shown, in characters."""

_INDENT = "    "


def row(record: DeliveryRecord) -> list[show.Cell]:
    """Gives the cells of a delivery in a list."""
    # Lines in a cell, so that an id stays whole on a narrow terminal.
    return [
        Text.assemble(str(record.id), (f"\n{_latest(record)}", "dim")),
        Text.assemble(show.printable(record.event), (f"\n{show.printable(record.origin)}", "dim")),
        Text("leased", "cyan")
        if record.lease is not None
        else Text.assemble(show.result(record), (f"\n{show.answer(record)}", "dim")),
    ]


def fields(record: DeliveryRecord) -> dict[str, object]:
    """Gives the JSON object of a delivery with its latest attempt."""
    return {
        **attempt_fields(record),
        "state": record.state.value,
        "started_at": record.last.started_at.isoformat(),
        "owner": record.owner,
        "held": record.held,
    }


def followed(record: DeliveryRecord) -> Text:
    """Gives the lines that tell an attempt that has just ended."""
    when = record.last.started_at.astimezone().strftime("%H:%M:%S  ")
    what = f"\n{' ' * len(when)}{record.id}  {show.printable(record.event)}"
    return Text.assemble((when, "dim"), show.attempt(record), (what, "dim"))


def whole_fields(record: DeliveryRecord, attempts: Iterable[Attempt]) -> dict[str, object]:
    """Gives the JSON object of a delivery with every attempt."""
    next_at, accepted_at = record.next_attempt_at, record.accepted_at
    return {
        **identity_fields(record),
        "sender": record.sender,
        "owner": record.owner,
        "content_type": record.content_type,
        "bytes": len(record.body),
        "created_at": record.created_at.isoformat(),
        "accepted_at": accepted_at.isoformat() if accepted_at else None,
        "state": record.state.value,
        "leased_to": record.lease.holder if record.lease else None,
        "next_attempt_at": next_at.isoformat() if next_at else None,
        "held": record.held,
        "attempts": [_attempt_fields(one) for one in _ended(record, attempts)],
    }


def print_whole(record: DeliveryRecord, attempts: Iterable[Attempt]) -> None:
    """Prints a delivery with every attempt, for people."""
    out = show.console()
    for name, value in _parts(record).items():
        if value is not None:
            out.print(Text.assemble((f"{name:<14}", "bold"), show.printable(value)), soft_wrap=True)
    for attempt in _ended(record, attempts):
        out.print()
        for line in _lines(attempt, out.width):
            out.print(line, soft_wrap=True)


def _latest(record: DeliveryRecord) -> str:
    last = record.last
    none = "no attempt" if record.state.has_ended else "no attempt yet"
    attempt = f"attempt {last.number}" if last.number else none
    return "\n".join(filter(None, (f"{show.moment(last.started_at)}, {attempt}", _until(record))))


def _until(record: DeliveryRecord) -> str:
    if record.next_attempt_at is None:
        return ""
    what = "until" if record.lease is not None else "again at" if record.held is None else "held until"
    return f"{what} {show.moment(record.next_attempt_at)}"


def _ended(record: DeliveryRecord, attempts: Iterable[Attempt]) -> Iterator[Attempt]:
    """Gives the attempts whose result is known: not the one that is under way."""
    return (one for one in attempts if record.lease is None or one.number != record.last.number)


def _parts(record: DeliveryRecord) -> dict[str, object]:
    return {
        "delivery": record.id,
        "message": record.message_id,
        "event": record.event,
        "sender": record.sender,
        "subscription": record.subscription_id,
        "owner": record.owner,
        "goes to": record.origin,
        "body": f"{len(record.body):,} bytes, {record.content_type}",
        "created": show.moment(record.created_at),
        "accepted": show.moment(record.accepted_at) if record.accepted_at else None,
        "state": record.state,
        "skipped": f"the subscription was disabled: {record.last.detail}" if record.skipped else None,
        "next": _next(record),
    }


def _next(record: DeliveryRecord) -> str:
    number, at = record.last.number, record.next_attempt_at
    if record.lease is not None and at is not None:
        what = f"attempt {number} is under way" if number else "attempt 1 is about to begin"
        return f"{what}; if nothing is told of it, another at {show.moment(at)}"
    if at is not None:
        why = "" if record.held is None else f"; held back until then: {record.held}"
        return f"attempt {number + 1} at {show.moment(at)}{why}"
    if record.state is DeliveryState.DELIVERED:
        return "nothing: it arrived"
    return "nothing; `thornsdk replay` attempts it again"


def _lines(attempt: Attempt, width: int) -> Iterator[Text]:
    kind, reason = attempt.outcome.kind, attempt.outcome.reason
    status = "" if attempt.status is None else f"  {attempt.status}"
    yield Text.assemble(
        (f"attempt {attempt.number}", "bold"),
        f"  {show.moment(attempt.started_at)}  ",
        show.outcome(kind),
        f"  {reason}{status}  {_milliseconds(attempt.duration)}",
    )
    for text in (_connection(attempt), attempt.detail, _answer(attempt)):
        if text:
            # Cut where the line ends: what somebody else wrote has no words to keep whole.
            for line in chop_cells(show.printable(text), width - len(_INDENT)):
                yield Text(f"{_INDENT}{line}", "dim")


def _connection(attempt: Attempt) -> str:
    address = [] if attempt.address is None else [f"at {attempt.address}"]
    reused = ["connection used again"] if attempt.reused else []
    return ", ".join([*address, *reused, *_steps(attempt.timings)])


def _steps(timings: Timings | None) -> list[str]:
    if timings is None:
        return []
    steps = {
        "look-up": timings.lookup,
        "connect": timings.connect,
        "TLS": timings.tls,
        "first byte": timings.first_byte,
    }
    return [f"{name} {_milliseconds(seconds)}" for name, seconds in steps.items() if seconds is not None]


def _answer(attempt: Attempt) -> str:
    if not attempt.answer:
        return ""
    text = attempt.answer.decode(errors="backslashreplace")
    shown = text[:MAX_ANSWER]
    return f"answered {shown}{' ...' if attempt.response_bytes > len(shown.encode()) else ''}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def _attempt_fields(attempt: Attempt) -> dict[str, object]:
    return {
        **result_fields(attempt),
        "started_at": attempt.started_at.isoformat(),
        "address": attempt.address,
        "answer": attempt.answer.decode(errors="backslashreplace"),
    }
