"""How commands print: tables and colour for people, one JSON object per line for machines."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TypeVar

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thornsdk import DeliveryRecord, OutcomeKind

T = TypeVar("T")

Cell = str | Text

WIDE = 160
"""The width of what is printed to a file or a pipe, in characters."""

_PAGE = 200

SIGNS = {
    OutcomeKind.DELIVERED: ("✓", "green"),
    OutcomeKind.RETRY: ("↻", "yellow"),
    OutcomeKind.FAILED: ("✗", "red"),
    OutcomeKind.BLOCKED: ("⊘", "magenta"),
}
"""The sign and the colour of each outcome."""


def printable(text: object) -> str:
    """Gives a text as one line that is safe to print: what could steer a terminal becomes an escape.

    Args:
        text: What somebody else wrote, perhaps.
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode()
        for one in str(text)
    )


def console(*, stderr: bool = False) -> Console:
    """Makes what people's output is printed with; as wide as the terminal, or wide where there is none."""
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = WIDE
    return made


def print_json(fields: Mapping[str, object]) -> None:
    """Prints one object on one line, in ASCII, so that nothing in it can steer a terminal."""
    click.echo(json.dumps(fields))


def note(text: str) -> None:
    """Tells people something that is no result, so it goes to stderr."""
    console(stderr=True).print(Text(printable(text)), soft_wrap=True)


def discard_stdout() -> None:
    """Drops what is printed from now on, and what waits to be, for the reader of the pipe has gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def print_table(columns: Sequence[str], items: Iterable[T], row: Callable[[T], Sequence[Cell]]) -> int:
    """Prints a table, page by page, for there may be a million rows.

    Args:
        columns: The names of the columns.
        items: What each row is about.
        row: Gives the cells of an item.

    Returns:
        How many items there were.
    """
    out, stream, count = console(), iter(items), 0
    while page := list(islice(stream, _PAGE)):
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        for name in columns:
            # What comes first is what people copy.
            table.add_column(name, overflow="fold", no_wrap=name == columns[0])
        for item in page:
            table.add_row(*map(_cell, row(item)))
        out.print(table)
        count += len(page)
    return count


def print_items(
    columns: Sequence[str],
    items: Iterable[T],
    *,
    row: Callable[[T], Sequence[Cell]],
    fields: Callable[[T], Mapping[str, object]],
    as_json: bool,
    nothing: str,
) -> None:
    """Prints items: as a table, or as JSON.

    Args:
        columns: The names of the table's columns.
        items: What is printed.
        row: Gives the cells of an item.
        fields: Gives the JSON object of an item.
        as_json: Whether it is JSON.
        nothing: What people are told where there is none.
    """
    if as_json:
        for item in items:
            print_json(fields(item))
    elif not print_table(columns, items, row):
        note(nothing)


def outcome(kind: OutcomeKind) -> Text:
    """Gives the word of an outcome, with its sign, in its colour."""
    sign, colour = SIGNS[kind]
    return Text(f"{sign} {kind}", colour)


def result(record: DeliveryRecord) -> Text:
    """Gives the word of what came of the latest attempt; another one where none was made."""
    return Text("○ skipped", "dim") if record.skipped else outcome(record.kind)


def answer(record: DeliveryRecord) -> str:
    """Gives what came back of the latest attempt: a status, or the reason why there is none."""
    return str(record.last.outcome.reason if record.last.status is None else record.last.status)


def attempt(record: DeliveryRecord) -> Text:
    """Gives the line that tells people the latest attempt."""
    last, came = record.last, result(record)
    line = Text.assemble(
        came,
        " " * (len("✓ delivered") - len(came) + 2),
        printable(record.origin),
        ("  ", ""),
        answer(record),
        (f"  {last.duration * 1000:.0f} ms", "dim"),
    )
    if last.number > 1:
        line.append(f"  attempt {last.number}", "dim")
    if last.detail:
        line.append(f"  {printable(last.detail)}", "dim")
    if record.next_attempt_at is not None:
        line.append(f"  again at {moment(record.next_attempt_at)}", "dim")
    return line


def moment(when: datetime) -> str:
    """Gives a time as people here have it, to the second."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _cell(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(cell))
