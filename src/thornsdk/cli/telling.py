"""Tells attempts as they end: nothing is kept, for there may be a million."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from thornsdk import (
    DeliveryRecord,
    HookContext,
    Observer,
    OutcomeKind,
    Plugin,
    Provided,
    Tally,
    Thorn,
    hookimpl,
)
from thornsdk.cli import show
from thornsdk.cli.options import open_durable, settings_with, with_store
from thornsdk.logs import attempt_fields

OBSERVER = "command-line"


class ObserverPlugin(Plugin):
    """Provides one observer, under the name `OBSERVER`.

    Args:
        observer: The observer.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    @hookimpl
    def thornsdk_observers(self, context: HookContext) -> list[Provided[Observer]]:
        """Provides it."""
        return [Provided(OBSERVER, lambda stage: self._observer, "Prints each attempt.")]


class Teller:
    """Prints each attempt when it has ended, with a line below that counts them on a terminal.

    When nobody reads its output any more, it falls silent: the deliveries go on.

    Args:
        as_json: Whether it prints JSON.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = show.console()
        self._counts: Counter[str] = Counter()
        self._heard = True
        self._moves = self._console.is_terminal and not as_json
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )

    @contextmanager
    def watching(self, doing: str = "sending") -> Iterator[None]:
        """Shows the counting line while something is attempted.

        Args:
            doing: What it says before there is something to count.
        """
        with self._progress if self._moves else nullcontext():
            self._progress.add_task(doing)
            yield

    def observe(self, record: DeliveryRecord) -> None:
        """Prints an attempt."""
        self._counts["skipped" if record.skipped else record.kind] += 1
        if not self._heard:
            return
        try:
            self._tell(record)
        except (BrokenPipeError, SystemExit):
            # Rich ends the process here, from release 13.8 on; what is to be sent must be sent all the same.
            self._heard = False
            show.discard_stdout()

    def _tell(self, record: DeliveryRecord) -> None:
        if self._as_json:
            show.print_json(attempt_fields(record))
            return
        self._console.print(show.attempt(record), soft_wrap=True)
        for task in self._progress.task_ids:
            self._progress.update(task, description=self._counted())

    def _counted(self) -> str:
        return " · ".join(f"{count:,} {kind}" for kind, count in self._counts.items())


def open_observed(store: str | None, teller: Teller) -> Thorn:
    """Opens a Thorn over a store that lasts, whose attempts are told.

    Args:
        store: What ``--store`` gives.
        teller: Tells them.

    Raises:
        Problem: If the store ends with the process.
    """
    options = with_store(store)
    options["observers"] = (*settings_with(options).observers, OBSERVER)
    return open_durable(options, plugins=[ObserverPlugin(teller)])


def summary(outcomes: Tally) -> Text:
    """Gives the line that sums up how deliveries ended."""
    counts = {kind: getattr(outcomes, kind.value) for kind in OutcomeKind}
    parts = [Text(f"{count:,} {kind}", show.SIGNS[kind][1]) for kind, count in counts.items() if count]
    if outcomes.disabled:
        parts.append(Text(f"{outcomes.disabled:,} skipped", "dim"))
    return Text(" · ").join(parts)


def conclude(outcomes: Tally, *, as_json: bool, nothing: str) -> bool:
    """Prints what came of all attempts, and tells whether everything was delivered.

    Args:
        outcomes: What came of them.
        as_json: Whether it is JSON.
        nothing: What people are told where there were none.
    """
    if as_json:
        show.print_json({kind.value: getattr(outcomes, kind.value) for kind in OutcomeKind})
    elif outcomes.total:
        show.console().print(summary(outcomes))
    else:
        show.note(nothing)
    return outcomes.delivered == outcomes.total


def total(tallies: Iterable[Tally]) -> Tally:
    """Adds up counts as they come; problems are not kept."""
    counts: Counter[OutcomeKind] = Counter()
    for one in tallies:
        counts.update({kind: getattr(one, kind.value) for kind in OutcomeKind})
    return Tally(
        delivered=counts[OutcomeKind.DELIVERED],
        retry=counts[OutcomeKind.RETRY],
        failed=counts[OutcomeKind.FAILED],
        blocked=counts[OutcomeKind.BLOCKED],
    )
