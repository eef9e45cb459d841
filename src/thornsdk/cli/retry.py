"""The command ``retry``."""

import time
from collections.abc import Callable, Iterator

import click

from thornsdk import Tally, Thorn
from thornsdk.cli.options import json_option, store_option
from thornsdk.cli.problems import FAILED, Failure
from thornsdk.cli.stopping import StopFlag, asked_to_stop
from thornsdk.cli.telling import Teller, conclude, open_observed, total
from thornsdk.errors import StoreError
from thornsdk.stages import utc_now
from thornsdk.typing import Clock

_MOST_WAIT = 1.0
"""How many seconds pass at most between two rounds: what another process stores may be due at once."""
_LEAST_WAIT = 0.05


@click.command()
@click.option("--follow", is_flag=True, help="Go on with what becomes due, until Ctrl-C or SIGTERM.")
@store_option
@json_option
def retry(*, follow: bool, store: str | None, as_json: bool) -> None:
    """Attempt every delivery that is due now.

    Run it often, from cron or a timer, or once with --follow; several may run side by side. Exit code 0: all
    that was due was delivered; 1: something was not. With --follow, it is 0 when it was stopped: what was in
    flight is finished then.
    """
    teller = Teller(as_json=as_json)
    with open_observed(store, teller) as thorn:
        if follow:
            with asked_to_stop() as stop, teller.watching("waiting for what is due"):
                outcomes = total(rounds(thorn, stop))
        else:
            with teller.watching():
                outcomes = thorn.run_due()
    arrived = conclude(outcomes, as_json=as_json, nothing="nothing was due" if follow else "nothing is due")
    if not arrived and not follow:
        raise click.exceptions.Exit(FAILED)


def rounds(
    thorn: Thorn, stop: StopFlag, *, clock: Clock = utc_now, wait: Callable[[float], None] = time.sleep
) -> Iterator[Tally]:
    """Attempts what is due, again and again, and gives what came of each round.

    Args:
        thorn: Makes the attempts.
        stop: Tells when to stop.
        clock: Tells the time.
        wait: Waits for so many seconds.

    Raises:
        StoreError: If the store fails twice in a row. Once, it may be a row that cannot be read, or a lock.
    """
    failed = False
    while not stop():
        try:
            yield thorn.run_due(stop=stop)
            pause = _pause(thorn, clock)
            failed = False
        except StoreError as exc:
            if failed:
                raise
            Failure(str(exc)).show()
            failed, pause = True, _MOST_WAIT
        if not stop():
            wait(pause)


def _pause(thorn: Thorn, clock: Clock) -> float:
    """Gives the seconds until something is due."""
    due_at = thorn.next_due()
    left = _MOST_WAIT if due_at is None else (due_at - clock()).total_seconds()
    # Where what is due stays due, as it may for a moment, this must not spin.
    return min(max(left, _LEAST_WAIT), _MOST_WAIT)
