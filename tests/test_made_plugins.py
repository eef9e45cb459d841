import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from attrs import frozen

from support.made_plugins import NAME, Made
from thornsdk.cli.scaffold import names_of, render, write
from thornsdk.plugins import KINDS

Make = Callable[[str], Made]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a plugin of a kind, once."""
    folder = tmp_path_factory.mktemp("made")
    return cache(lambda kind: Made.of(kind, folder / kind))


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What one run of mypy has learnt, the next need not learn again."""
    return str(tmp_path_factory.mktemp("mypy"))


def pytest_run(made: Made, *options: str) -> tuple[int, str]:
    return made.run("pytest", "-q", "-p", "no:cacheprovider", "--no-header", *options)


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_tests_pass_as_it_is_made(make: Make, kind: str) -> None:
    code, told = pytest_run(make(kind))
    assert code == 0, told


@pytest.mark.parametrize("kind", KINDS)
def test_mypy_finds_nothing_wrong_with_it(make: Make, kind: str, mypy_cache: str) -> None:
    pytest.importorskip("mypy")
    code, told = make(kind).run("mypy", "--cache-dir", mypy_cache)
    assert code == 0, told


@pytest.mark.parametrize("kind", KINDS)
def test_pyright_finds_nothing_wrong_with_it_either(make: Make, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("basedpyright")
    folder = make(kind).folder
    settings = {"include": [str(folder)], "extraPaths": [str(folder / one) for one in ("src", "tests")]}
    project = tmp_path / "pyrightconfig.json"
    project.write_text(json.dumps({**settings, "typeCheckingMode": "strict"}))
    code, told = make(kind).run("basedpyright", "--project", str(project), "--pythonpath", sys.executable)
    assert code == 0, told


@pytest.mark.parametrize("name", ["x", NAME, "a" * 8 + "-" + "b" * 7 + "-" + "c" * 7])
def test_ruff_finds_nothing_wrong_with_it_however_long_its_name(tmp_path: Path, name: str) -> None:
    pytest.importorskip("ruff")
    for kind in KINDS:
        write(render(names_of(name, kind)), tmp_path / kind)
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", str(tmp_path)]
        ran = subprocess.run(ruff, capture_output=True, text=True, timeout=50, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_it_stands_the_check_of_plugins(make: Make, kind: str) -> None:
    code, told = make(kind).run("thornsdk", "plugins", "check", NAME)
    assert (code, told.splitlines()[0]) == (
        0,
        f"✓ plugin 'pigeon' of thornsdk-pigeon 0.1.0: {kind} 'pigeon'",
    )


# Each of these breaks one promise


@frozen
class Mutant:
    """One text of the made code that is replaced, the test that has to fail then, and what it has to say."""

    old: str
    new: str
    test: str
    told: str


MUTANTS = {
    "transport": {
        "a body without its blanks": Mutant(
            "netstring(request.body)",
            "netstring(request.body.strip())",
            "test_sends_the_exact_bytes",
            "broken promise: a transport sends the exact bytes of a body",
        ),
        "a header that is left out": Mutant(
            "for name, value in request.headers)",
            "for name, value in request.headers[1:])",
            "test_sends_all_headers",
            "broken promise: a transport sends all headers of a request",
        ),
        "a guard that nobody asks": Mutant(
            "if why := request.guard(address):",
            'if why := "":',
            "test_sends_nothing_to_a_forbidden_address",
            "broken promise: a transport connects to no address that a request's guard forbids",
        ),
        "a timeout that is told as another trouble": Mutant(
            "raise TransportError(Reason.TIMEOUT,",
            "raise TransportError(Reason.CONNECTION_LOST,",
            "test_keeps_the_deadline",
            "broken promise: where nothing is answered, a transport raises a TransportError at the deadline",
        ),
        "a request that is sent again": Mutant(
            "            raise TransportError(Reason.CONNECTION_LOST,",
            "            with __import__('contextlib').suppress(OSError):\n"
            "                self._send(request, Deadline(1))\n"
            "            raise TransportError(Reason.CONNECTION_LOST,",
            "test_sends_nothing_again_by_itself",
            "some arrived more than once: {'kept open': 2",
        ),
        "an error that nobody translates": Mutant(
            'raise TransportError(Reason.CONNECTION_REFUSED, "nothing listens there") from exc',
            "raise exc",
            "test_says_that_nobody_is_there",
            "broken promise: where nothing listens, a transport raises a TransportError",
        ),
        "an error that quotes the path": Mutant(
            '"nothing listens there")',
            'f"nothing listens at {request.url}")',
            "test_tells_no_secret",
            "broken promise: a transport tells nothing of path, query, headers or body",
        ),
        "a status that is no number": Mutant(
            "return int(answer[1])",
            "return answer[1]",
            "test_gives_the_answer",
            "broken promise: a transport gives what the far side answered",
        ),
        "a scheme in upper case": Mutant(
            'frozenset({"pigeon"})',
            'frozenset({"PIGEON"})',
            "test_names_its_schemes",
            "broken promise: a transport names the URL schemes that it serves, at least one, each in lower",
        ),
        "a method that is forgotten": Mutant(
            "    def send(self",
            "    def post(self",
            "test_is_a_transport",
            "broken promise: a transport has schemes, a user agent, and a way to send of its own",
        ),
        "requests that are read at once": Mutant(
            "return fan_out(requests,",
            "return fan_out([*requests],",
            "test_reads_requests_as_it_sends_them",
            "broken promise: a transport reads few requests ahead",
        ),
    },
    "signer": {
        "a body that is left out": Mutant(
            "timestamp + body,",
            "timestamp + body[:0],",
            "test_covers_the_body",
            "broken promise: a signature covers the whole body",
        ),
        "the current secret alone": Mutant(
            "delivery.subscription.valid_secrets(at)",
            "delivery.subscription.secrets",
            "test_signs_with_secrets_that_have_not_ended",
            "broken promise: while secrets are rotated, an old one signs beside the current one until",
        ),
        "a clock of its own": Mutant(
            "int(at.timestamp())",
            "int(datetime.now().timestamp())",
            "test_takes_the_time_that_it_is_given",
            "broken promise: a signer takes the time from the attempt, not from a clock of its own",
        ),
        "a secret that is given away": Mutant(
            'f"v1={signature(',
            'f"k={one.key.hex()},v1={signature(',
            "test_gives_no_secret_away",
            "broken promise: a signer's headers hold no secret",
        ),
    },
    "serializer": {
        "what differs each time": Mutant(
            '"id": str(message.id),',
            '"id": str(__import__("uuid").uuid4()),',
            "test_writes_a_message_alike_each_time",
            "broken promise: a serializer writes the same message as the same bytes each time",
        ),
        "an error of another kind": Mutant(
            "to_plain(message.payload)",
            "message.payload",
            "test_says_what_it_cannot_write",
            "broken promise: a serializer raises a SerializationError",
        ),
        "a content type that cannot be sent": Mutant(
            'content_type: str = "application/json"',
            'content_type: str = "application/json\\n"',
            "test_has_a_content_type_that_can_be_sent",
            "broken promise: a serializer's content type can stand in a header",
        ),
    },
    "dispatcher": {
        "results that nobody reads": Mutant(
            "tally(deliverer.deliver_all(dispatch))",
            "tally([]) if deliverer.deliver_all(dispatch) else Tally()",
            "test_tells_the_outcomes_of_what_has_ended",
            "broken promise: a dispatcher that says that all has ended has attempted all deliveries",
        ),
        "deliveries of which it says that there are none": Mutant(
            "return self._receipt(dispatch, ReceiptState.DISABLED, Tally())",
            "return self._receipt(dispatch, ReceiptState.DISABLED, tally(deliverer.deliver_all(dispatch)))",
            "test_sends_nothing_where_it_says_so",
            "broken promise: a dispatcher that says that nothing is sent sends nothing",
        ),
        "a receipt of another message": Mutant(
            "message_id=dispatch.message.id,",
            'message_id=__import__("uuid").uuid4(),',
            "test_gives_a_receipt_of_the_message",
            "broken promise: a dispatcher gives a receipt of that very message",
        ),
    },
    "store": {
        "subscriptions that are put one by one": Mutant(
            "        super().__init__(path)\n",
            "        super().__init__(path)\n\n    def put(self, subscriptions):\n"
            "        for one in subscriptions:\n            super().put([one])\n",
            "test_puts_all_or_none",
            "broken promise: a store puts all subscriptions that it is given or",
        ),
        "another subscription than that of the id": Mutant(
            "        super().__init__(path)\n",
            "        super().__init__(path)\n\n    def find(self, subscription_id):\n"
            "        return next(self.subscriptions(), None)\n",
            "test_finds_what_is_there_alone",
            "broken promise: a store that knows no subscription of an id gives None",
        ),
        "a file that others can read": Mutant(
            "if mode & forbidden:", "if False:", "test_a_file_that_others", "DID NOT RAISE"
        ),
        "a group that may never read": Mutant(
            "ALL_BUT_THE_GROUP if group", "ALL_BUT_THE_OWNER if group", "test_the_group_may", "chmod 600 it"
        ),
        "a file of its own each time": Mutant(
            "super().__init__(path)",
            "super().__init__(path.with_name(str(id(self))))",
            "test_settings_choose_it_and_what_it_keeps_lasts",
            "assert [] == [Subscription",
        ),
    },
    "observer": {
        "a status that is not there": Mutant(
            '"status": last.status,',
            '"status": int(last.status),',
            "test_takes_any_record",
            "broken promise: an observer takes any record",
        ),
        "an answer that nobody reads": Mutant(
            "            file.write(",
            "            return file.write(",
            "test_gives_nothing",
            "broken promise: an observer gives None",
        ),
        "a name that is looked up": Mutant(
            "        last = record.last\n",
            "        last = record.last\n        __import__('socket').getaddrinfo('localhost', 80)\n",
            "test_sends_nothing",
            "broken promise: an observer sends nothing in the thread that delivers",
        ),
    },
}


@pytest.mark.parametrize(
    ("kind", "what"), [(kind, what) for kind, mutants in MUTANTS.items() for what in mutants]
)
def test_a_promise_that_is_broken_is_named(make: Make, tmp_path: Path, kind: str, what: str) -> None:
    mutant = MUTANTS[kind][what]
    file = f"src/thornsdk_pigeon/{kind}.py"
    broken = make(kind).changed(file, mutant.old, mutant.new, tmp_path / "broken")
    code, told = pytest_run(broken, "--tb=short", "-k", mutant.test)
    assert (code, mutant.told in told) == (1, True), told
