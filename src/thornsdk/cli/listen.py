"""The command ``listen``."""

import json
import threading
from http import HTTPStatus
from typing import TypedDict, Unpack

import click
from attrs import frozen
from rich.text import Text

from thornsdk import PublicKey, Secret
from thornsdk.cli import show
from thornsdk.cli.options import json_option, public_keys_option
from thornsdk.cli.problems import FAILED, Failure
from thornsdk.cli.receiver import Arrival, Receiver
from thornsdk.cli.stopping import stoppable
from thornsdk.errors import InvalidSignature
from thornsdk.receive import verify

DEFAULT_PORT = 8080
_LOOK_UP_EVERY = 0.2
MAX_SHOWN = 2000
"""How much of a body people are shown, in characters."""


@frozen
class _Verdict:
    """Whether a request is authentic.

    Attributes:
        scheme: What proved it, or None.
        problem: Why it is not proved, or None.
    """

    scheme: str | None
    problem: str | None


class _Given(TypedDict):
    host: str
    port: int
    secrets: tuple[str, ...]
    public_keys: tuple[str, ...]
    status: int
    once: bool
    as_json: bool


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, metavar="N")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--secret", "secrets", multiple=True, help="Verify with it; answer 401 to what is not authentic."
)
@public_keys_option
@click.option("--status", type=click.IntRange(200, 599), default=200, show_default=True, help="The answer.")
@click.option("--once", is_flag=True, help="End after one request; exit code 1 if it is not authentic.")
@json_option
def listen(**given: Unpack[_Given]) -> None:
    """Receive webhooks, verify and print them.

    Ctrl-C ends it. Port 0 takes a port that is free; the first line tells which.
    """
    desk = _Desk(given)
    with stoppable():
        try:
            receiver = Receiver(desk.answer, host=given["host"], port=given["port"])
        except OSError as exc:
            problem = f"cannot listen at {given['host']} port {given['port']}: {exc.strerror}"
            raise Failure(f"{problem}; --port 0 takes a port that is free") from exc
        with receiver:
            desk.tell_where(receiver)
            desk.wait()
    if desk.unproved and given["once"]:
        raise click.exceptions.Exit(FAILED)


class _Desk:
    """Takes what arrives, prints it, and says what to answer."""

    def __init__(self, given: _Given) -> None:
        self._given = given
        self._secrets = tuple(Secret(one) for one in given["secrets"])
        self._public_keys = tuple(PublicKey(one) for one in given["public_keys"])
        self._console = show.console()
        self._printing = threading.Lock()
        self._done = threading.Event()
        self.unproved = False

    def answer(self, arrival: Arrival) -> int:
        verdict = self._judge(arrival)
        status = self._given["status"] if verdict.problem is None else HTTPStatus.UNAUTHORIZED
        with self._printing:
            # A pipe that was closed and --once end it alike: what comes after is answered, not printed.
            if not self._done.is_set():
                self._print_or_end(arrival, verdict, status)
        return status

    def tell_where(self, receiver: Receiver) -> None:
        if self._given["as_json"]:
            show.print_json({"listening": f"{receiver.origin}/"})
            return
        how = "verifying" if self._verifies else "not verifying: no --secret or --public-key was given"
        self._console.print(
            Text.assemble("listening at ", (f"{receiver.origin}/", "bold"), (f"  {how}", "dim"))
        )

    def wait(self) -> None:
        try:
            # A signal may reach another thread, and then wakes this one only when it looks up by itself.
            while not self._done.is_set():
                self._done.wait(_LOOK_UP_EVERY)
        except KeyboardInterrupt:
            self._done.set()

    @property
    def _verifies(self) -> bool:
        return bool(self._secrets or self._public_keys)

    def _judge(self, arrival: Arrival) -> _Verdict:
        if not self._verifies:
            return _Verdict(None, None)
        try:
            received = verify(
                arrival.headers, arrival.body, secrets=self._secrets, public_keys=self._public_keys
            )
        except InvalidSignature as exc:
            return _Verdict(None, str(exc))
        return _Verdict(received.scheme.value, None)

    def _print_or_end(self, arrival: Arrival, verdict: _Verdict, status: int) -> None:
        self.unproved = verdict.problem is not None
        try:
            if self._given["as_json"]:
                show.print_json(_fields(arrival, verdict, status))
            else:
                self._print(arrival, verdict, status)
        except (BrokenPipeError, SystemExit):
            # Rich ends the process here, from release 13.8 on.
            show.discard_stdout()
            self._done.set()
        if self._given["once"]:
            self._done.set()

    def _print(self, arrival: Arrival, verdict: _Verdict, status: int) -> None:
        what = [arrival.header("Hook-Event") or "(no event)", _delivery(arrival) or "(no id)"]
        event, delivery, path = map(show.printable, (*what, arrival.path))
        out = self._console
        out.print()
        head = Text.assemble(
            (event, "bold"), f"  {delivery}", (f"  {len(arrival.body):,} bytes  {path}", "dim")
        )
        out.print(head, soft_wrap=True)
        out.print(_proof(verdict).append(f"  answered {status}", "dim"), soft_wrap=True)
        for line in _body_lines(arrival.body):
            out.print(Text(f"    {line}"), soft_wrap=True)


def _delivery(arrival: Arrival) -> str | None:
    return arrival.header("webhook-id") or arrival.header("Hook-Delivery")


def _proof(verdict: _Verdict) -> Text:
    if verdict.problem is not None:
        return Text(f"✗ {show.printable(verdict.problem)}", "red")
    if verdict.scheme is None:
        return Text("not verified", "yellow")
    return Text(f"✓ verified by {verdict.scheme}", "green")


def _fields(arrival: Arrival, verdict: _Verdict, status: int) -> dict[str, object]:
    return {
        "event": arrival.header("Hook-Event"),
        "delivery": _delivery(arrival),
        "verified": verdict.scheme,
        "problem": verdict.problem,
        "answered": status,
        "path": arrival.path,
        "content_type": arrival.header("Content-Type"),
        "bytes": len(arrival.body),
        "body": arrival.body.decode(errors="backslashreplace"),
    }


def _body_lines(body: bytes) -> list[str]:
    """Gives a body as lines that are safe to print: JSON laid out, and no more of it than people read."""
    text = _laid_out(body)
    lines = [show.printable(line) for line in text[:MAX_SHOWN].split("\n")]
    left = len(text) - MAX_SHOWN
    return [*lines, f"({left:,} more characters)"] if left > 0 else lines


def _laid_out(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body.decode(errors="backslashreplace")
