"""Prints how fast thornsdk sends, beside other ways to send the same, and which aims that reaches.

All sends are POSTs of 1 KiB of JSON on loopback. Ours go through `Event.send` and the dispatcher ``default``;
each is signed by both signers, told as an event at INFO that a handler writes as a line of text to the null
device, and recorded in the store ``memory``, which keeps the latest 10,000. The others send ready bytes and
keep nothing: those with requests compute one HMAC for each delivery, all others none.

Each way has a process of its own, which is started, sends once without being measured, and then sends when it
is told to: all ways of a scenario in turn, round by round. Rates and CPU are medians of the rounds, ratios
are medians of the rounds' ratios. ``spread`` is how far the slowest and the fastest round lie apart, ``MB``
the peak of the process over all rounds, ``opened`` how many connections were opened for a delivery,
``recv.`` the share of the time in which the receiver used a CPU. Linux only.

    python benchmarks/send_speed.py [--rounds 15] [--only turn many slow https pipeline] [--json FILE]
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme
from attrs import asdict, frozen
from rig.chart import chart
from rig.fast_receiver import FastReceiver
from rig.figures import Found, Result, verdicts
from rig.report import machine, markdown, text
from rig.scenarios import AIMS, Entry, Receiving, Scenario, scenarios
from rig.way import Target, Way, WayMissing

BODY_SIZE = 1024


@frozen(kw_only=True)
class Trust:
    """The receiver's certificate, and the files of authorities that senders trust."""

    certificate: Path
    authority: Path
    bundle: Path


def payload() -> dict[str, str]:
    """Gives what is sent: as JSON without spaces, it has 1 KiB."""
    frame = len(_json({"order": "42", "note": ""}))
    return {"order": "42", "note": "x" * (BODY_SIZE - frame)}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def trust(folder: Path) -> Trust:
    """Makes an authority and a certificate, and a bundle as senders have it: with the public authorities."""
    made = Trust(
        certificate=folder / "receiver.pem", authority=folder / "authority.pem", bundle=folder / "bundle.pem"
    )
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(made.certificate))
    authority.cert_pem.write_to_path(str(made.authority))
    made.bundle.write_bytes(_public_authorities() + made.authority.read_bytes())
    return made


def _public_authorities() -> bytes:
    try:
        from certifi import where  # It comes with requests.
    except ModuleNotFoundError:
        return b""
    return Path(where()).read_bytes()


@contextmanager
def receiver_of(receiving: Receiving | None, trusted: Trust) -> Iterator[FastReceiver | None]:
    if receiving is None:
        yield None
        return
    certificate = trusted.certificate if receiving.tls else None
    with FastReceiver(receiving.origins, delay=receiving.delay, certificate=certificate) as receiver:
        yield receiver


@frozen(kw_only=True, eq=False)
class Runner:
    """A scenario on its way: the receiver, and the ways that are there.

    Attributes:
        receiver: Who answers; None where nothing is sent.
        ways: Each with how many deliveries it makes in a round, by its name.
    """

    receiver: FastReceiver | None
    ways: dict[str, tuple[Way, int]]

    def round(self) -> dict[str, Result]:
        return {name: self._measure(way, count) for name, (way, count) in self.ways.items()}

    def _measure(self, way: Way, count: int) -> Result:
        if self.receiver is None:
            return Result(deliveries=count, cost=way.deliver(count), receiver_cpu=0.0, connections=0)
        before = self.receiver.counts()
        cost = way.deliver(count)
        after = self.receiver.counts()
        if after.requests - before.requests != count:
            raise SystemExit(f"{after.requests - before.requests} requests came, and {count} were to come")
        return Result(
            deliveries=count,
            cost=cost,
            receiver_cpu=after.cpu - before.cpu,
            connections=after.connections - before.connections,
        )


def run(scenario: Scenario, options: argparse.Namespace, trusted: Trust) -> Found:
    """Measures all ways of a scenario."""
    many: int = options.subscribers
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        receiver = stack.enter_context(receiver_of(scenario.receiving, trusted))
        urls = _urls(receiver, many if scenario.subscribers else 1)
        runner = Runner(receiver=receiver, ways={})
        for entry in scenario.entries:
            try:
                way = stack.enter_context(Way(entry.module, _target(scenario, entry, urls, trusted)))
            except WayMissing as exc:
                missing[entry.name] = str(exc)
                continue
            runner.ways[entry.name] = (way, max(round(entry.share * many), 1))
        runner.round()  # It opens connections.
        rounds = [runner.round() for _ in range(options.rounds)]
    results = {name: [one[name] for one in rounds] for name in runner.ways}
    return Found(scenario=scenario, subscribers=many, results=results, missing=missing)


def _urls(receiver: FastReceiver | None, count: int) -> list[str]:
    if receiver is not None:
        return receiver.urls(count)
    return [f"https://customer-{number}.example.com/{number}" for number in range(count)]


def _target(scenario: Scenario, entry: Entry, urls: list[str], trusted: Trust) -> Target:
    bundle = trusted.authority if entry.one_authority else trusted.bundle
    tls = scenario.receiving is not None and scenario.receiving.tls
    return Target(
        urls=urls,
        payload=payload(),
        body=_json(payload()),
        ca_bundle=str(bundle) if tls else "",
        options=entry.options,
    )


def write_raw(path: Path, found: Sequence[Found]) -> None:
    raw = {
        "machine": machine(),
        "scenarios": [asdict(one) for one in found],
        "aims": [{**asdict(one), "reached": one.reached} for one in verdicts(found, AIMS)],
    }
    path.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


def main(options: argparse.Namespace) -> None:
    found: list[Found] = []
    with tempfile.TemporaryDirectory() as folder:
        trusted = trust(Path(folder))
        for scenario in scenarios(options.subscribers, options.origins):
            if scenario.key in options.only:
                print(f"measuring: {scenario.title} ...", file=sys.stderr, flush=True)
                found.append(run(scenario, options, trusted))
    judged = verdicts(found, AIMS)
    print(text(found, judged))
    if options.json is not None:
        write_raw(options.json, found)
    if options.docs is not None:
        (options.docs / "speed-figures.inc").write_text(markdown(found, judged), encoding="utf-8")
        (options.docs / "speed.svg").write_text(chart(found), encoding="utf-8")


def arguments() -> argparse.Namespace:
    keys = [one.key for one in scenarios(1, 1)]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="how often each way is measured")
    parser.add_argument("--subscribers", type=int, default=1000, help="how many subscribers are many")
    parser.add_argument("--origins", type=int, default=100, help="on how many origins they are with HTTPS")
    parser.add_argument("--only", nargs="+", choices=keys, default=keys, help="these scenarios alone")
    parser.add_argument("--json", type=Path, help="the file that gets the raw figures")
    parser.add_argument("--docs", type=Path, help="the folder that gets the table and the picture")
    options = parser.parse_args()
    if options.docs is not None and options.only != keys:
        parser.error("the docs tell all of them: --docs does not go with --only")
    return options


if __name__ == "__main__":
    # Who is told to end ends the ways and the receiver too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main(arguments())
