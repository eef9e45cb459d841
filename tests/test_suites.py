"""The suites of `thornsdk.testing` find what they are for: stages that are broken in one way each."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType

import pytest

import mutants.dispatchers
import mutants.http_transports
import mutants.observers
import mutants.serializers
import mutants.signers
import mutants.transports
from mutants import EVERYTHING, Mutant, least
from support.suite_runs import TESTS, Told, failures, run
from thornsdk.testing import suites
from thornsdk.testing.suites.http_transports import HttpPromises
from thornsdk.testing.suites.promises import told_by

KINDS: Mapping[type, ModuleType] = {
    suites.SerializerSuite: mutants.serializers,
    suites.SignerSuite: mutants.signers,
    suites.TransportSuite: mutants.transports,
    HttpPromises: mutants.http_transports,
    suites.DispatcherSuite: mutants.dispatchers,
    suites.ObserverSuite: mutants.observers,
}
"""The module with the mutants of each kind of stage, by the suite that finds them."""

MUTANTS = [
    pytest.param(suite, mutant, id=f"{suite.__name__}-{mutant.__name__}")
    for suite, module in KINDS.items()
    for mutant in module.MUTANTS
]
# All of a suite are run together, before the first of them is looked at.
LONG = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def told_by_suite(tmp_path_factory: pytest.TempPathFactory) -> Callable[[type], Mapping[str, Told]]:
    """What a suite says of all its mutants."""
    return cache(lambda suite: run(tmp_path_factory.mktemp("run"), [KINDS[suite]]))


@pytest.fixture(scope="module")
def told_of_least(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Told]:
    """What the suites say where they are given little."""
    return run(tmp_path_factory.mktemp("run"), [least])


@LONG
@pytest.mark.parametrize(("suite", "mutant"), MUTANTS)
def test_a_mutant_is_found_by_the_promise_that_it_breaks(
    suite: type, mutant: type[Mutant], told_by_suite: Callable[[type], Mapping[str, Told]]
) -> None:
    found = failures(told_by_suite(suite), KINDS[suite], mutant)
    expected = {mutant.breaks, *mutant.also} - {""}
    assert mutant.breaks in expected & found.keys() or not expected
    assert found.keys() == expected or mutant.also == EVERYTHING
    for test, text in found.items():
        assert f"broken promise: {told_by(getattr(suite, test))}: " in text


@LONG
def test_a_log_that_tells_a_secret_is_named(told_by_suite: Callable[[type], Mapping[str, Told]]) -> None:
    suite = suites.TransportSuite
    found = failures(told_by_suite(suite), KINDS[suite], mutants.transports.LogsTheBody)
    assert "the logger 'pigeon' says: lost on the way" in found["test_tells_no_secret"]


@pytest.mark.parametrize("suite", KINDS)
def test_every_promise_has_a_mutant_that_breaks_it(suite: type) -> None:
    assert {mutant.breaks for mutant in KINDS[suite].MUTANTS} - {""} == set(promises(suite))


def promises(suite: type) -> list[str]:
    """Names the tests of a suite."""
    return [name for name in dir(suite) if name.startswith("test_")]


@pytest.mark.parametrize("kind", ["serializer", "signer", "transport", "dispatcher", "observer", "store"])
def test_a_class_without_its_fixture_is_told_what_it_needs(
    kind: str, told_of_least: Mapping[str, Told]
) -> None:
    name = f"TestNo{kind.title()}"
    said = next(one for test, one in told_of_least.items() if f"::{name}::" in test)
    assert said.outcome == "failed"
    assert f"{name} needs a fixture {kind!r}: a method with @pytest.fixture that gives it" in said.text


def skipped(told: Mapping[str, Told], name: str) -> dict[str, str]:
    """Gives why tests of a class were skipped; none has failed."""
    said = {test.split("::")[2]: one for test, one in told.items() if f"::{name}::" in test}
    assert {one.text for one in said.values() if one.outcome == "failed"} == set()
    return {test: one.text.removeprefix(f"Skipped: {name}: ") for test, one in said.items()}


def test_what_is_not_said_of_a_serializer_is_skipped_with_words(told_of_least: Mapping[str, Told]) -> None:
    no_headers = "the serializer has no method `headers`, and need not"
    anything = "it writes any object: `unwritable` gives nothing"
    assert skipped(told_of_least, "TestSerializer") == {
        "test_says_what_it_cannot_write": anything,
        "test_quotes_nothing_of_the_payload_in_an_error": anything,
        "test_raises_errors_that_pickle": anything,
        "test_writes_on_after_an_error": anything,
        "test_writes_json_where_it_says_so": "text/x-json is no type of JSON",
        "test_reads_back_as_it_was": "no method `read` says how a body is read back",
        "test_writes_headers_that_can_be_sent": no_headers,
        "test_writes_headers_alike_each_time": no_headers,
        "test_writes_the_headers_that_it_names": "the serializer has no `header_names`, and need not",
    }


def test_what_is_not_said_of_a_signer_is_skipped_with_words(told_of_least: Mapping[str, Told]) -> None:
    randomised = "it is randomised; what `verify` says is tested in its place"
    unverified = "no method `verify` says how a receiver verifies"
    assert skipped(told_of_least, "TestSigner") == {
        "test_gives_the_headers_that_it_names": "the signer has no `header_names`, and need not",
        "test_yields_the_headers_that_it_says": "the signer has no `yielded_names`, and need not",
        "test_covers_the_body": randomised,
        "test_is_keyed_on_the_secret": randomised,
        "test_signs_alike_each_time": randomised,
        "test_signs_with_secrets_that_have_not_ended": randomised,
        "test_signs_with_no_secret_that_has_ended": randomised,
        "test_serves_several_threads": randomised,
        "test_verifies": unverified,
        "test_shows_a_changed_body": unverified,
        "test_shows_another_secret": unverified,
        "test_verifies_while_secrets_are_rotated": unverified,
    }


def test_what_cannot_be_had_of_a_transport_is_skipped_with_words(told_of_least: Mapping[str, Told]) -> None:
    no_error = "no error can be had: its far side has neither `nobody` nor `silent`"
    assert skipped(told_of_least, "TestTransport") == {
        "test_sends_all_headers": "its far side tells no headers",
        "test_gives_a_failure_as_a_result": "its far side has no `nobody`",
        "test_says_that_nobody_is_there": "its far side has no `nobody`",
        "test_keeps_the_deadline": "its far side has no `silent`",
        "test_keeps_the_deadline_while_it_reads": "its far side has no `dripping`",
        "test_sends_nothing_again_by_itself": "its far side has no `breaking`",
        "test_tells_a_refusal": "its far side has no `refusing`",
        "test_serves_on_after_a_failure": no_error,
        "test_sends_nothing_to_a_forbidden_address": "it sends only where the operator has said",
        "test_raises_errors_that_pickle": no_error,
        "test_serves_after_a_fork": "its library forbids it",
    }


def test_what_cannot_be_had_of_an_http_transport_is_skipped_with_words(
    told_of_least: Mapping[str, Told],
) -> None:
    untrusting = "no fixture `trusting` makes a transport that trusts an authority"
    assert skipped(told_of_least, "TestHttpTransport") == {
        "test_verifies_certificates": untrusting,
        "test_resolves_a_name_once": "it resolves names by other means than `socket.getaddrinfo`",
    }


def test_what_cannot_be_had_of_a_dispatcher_is_skipped_with_words(told_of_least: Mapping[str, Told]) -> None:
    queued = "the state of what it takes is queued"
    no_drain = "no fixture `drain` makes the far side deliver what is queued"
    able = "no fixture `unable` gives a dispatcher that can take no message"
    assert skipped(told_of_least, "TestDispatcher") == {
        "test_tells_the_outcomes_of_what_has_ended": queued,
        "test_sends_nothing_where_it_says_so": queued,
        "test_loses_nothing_that_it_took": no_drain,
        "test_keeps_troubles_apart": no_drain,
        "test_keeps_what_the_disabled_miss": no_drain,
        "test_has_each_of_many_delivered": no_drain,
        "test_sends_the_message_as_it_is": no_drain,
        "test_reaches_those_alone_whom_the_sender_may_reach": no_drain,
        "test_keeps_the_terms_of_the_event": no_drain,
        "test_sends_what_waits_as_it_was": no_drain,
        "test_says_that_it_cannot_take_a_message": able,
        "test_gives_no_receipt_of_what_it_cannot_take": able,
        "test_sends_nothing_of_what_it_cannot_take": able,
        "test_tells_no_secret": able,
        "test_raises_errors_that_pickle": able,
    }


def test_an_observer_need_not_be_told_of_subscriptions(told_of_least: Mapping[str, Told]) -> None:
    assert skipped(told_of_least, "TestObserver") == {
        "test_takes_any_notice": "the observer has no `observe_subscription`, and need not"
    }


def test_a_store_without_a_second_way_in_is_not_seen_from_several_processes(
    told_of_least: Mapping[str, Told],
) -> None:
    said = skipped(told_of_least, "TestStore")
    assert set(said.values()) == {
        "`another` opens no second connection, so what several processes do is not seen"
    }
    alone = {test for test in said if not test.endswith("[processes]")}
    assert alone == {
        "test_has_one_identity_everywhere",
        "test_keeps_what_was_written",
        "test_shows_others_what_was_written",
        "test_shows_the_same_to_all",
    }


def test_a_failure_reads_the_same_without_assertions_and_without_pytests_rewriting() -> None:
    test = f"{mutants.serializers.__file__}::TestMutants::test_gives_bytes[View]"
    options = ["-c", "/dev/null", "--rootdir", str(TESTS), "--noconftest", "-p", "no:cacheprovider"]
    command = [sys.executable, "-O", "-m", "pytest", "--assert=plain", *options, test]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False)
    assert "broken promise: a serializer gives bytes: for {'id': 42} it gave a memoryview" in done.stdout


def test_without_docstrings_a_promise_is_told_by_its_name() -> None:
    def test_gives_bytes() -> None: ...

    assert told_by(test_gives_bytes) == "gives bytes"
