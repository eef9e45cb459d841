import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

import pytest
from attrs import define, field

from support.wire import wait_until
from thornsdk import LookUp, LookUps, Reason
from thornsdk.errors import TransportError
from thornsdk.typing import IPAddress

ADDRESS = ip_address("127.0.0.1")


@define(eq=False)
class NameServer:
    """Answers when it is told to."""

    asked: list[str] = field(factory=list)
    answers: threading.Event = field(factory=threading.Event)

    def __call__(self, host: str, port: int) -> list[IPAddress]:
        self.asked.append(host)
        self.answers.wait(timeout=20)
        return [ADDRESS]


@pytest.fixture
def server() -> Iterator[NameServer]:
    made = NameServer()
    yield made
    made.answers.set()


def test_those_who_ask_for_the_same_name_at_once_share_the_answer(server: NameServer) -> None:
    lookups = LookUps(server)
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(lookups.addresses, "a.example", 80, 20) for _ in range(8)]
        wait_until(lambda: server.asked == ["a.example"])
        server.answers.set()
        assert [one.result() for one in asking] == [[ADDRESS]] * 8


def test_a_name_is_looked_up_anew_when_it_was_answered(server: NameServer) -> None:
    server.answers.set()
    lookups = LookUps(server)
    for _ in range(2):
        lookups.addresses("a.example", 80, 20)
    assert server.asked == ["a.example"] * 2


def test_another_port_is_another_question(server: NameServer) -> None:
    lookups = LookUps(server)
    for port in (80, 443, 80):
        with pytest.raises(TimeoutError, match="the name was not resolved before the deadline"):
            lookups.addresses("a.example", port, 0.01)
    assert server.asked == ["a.example"] * 2


def test_two_threads_that_begin_at_the_same_moment_ask_once(server: NameServer) -> None:
    class Overtaken(dict[Any, Any]):
        """As it is when another thread has begun since it was looked."""

        def setdefault(self, name: Any, default: Any = None) -> Any:
            other = LookUp("a.example")
            other.end([ADDRESS])
            return other

    lookups = LookUps(server)
    lookups._under_way = Overtaken()
    assert lookups.addresses("a.example", 80, 20) == [ADDRESS]
    assert server.asked == []


def test_no_more_are_under_way_than_may_be(server: NameServer) -> None:
    lookups = LookUps(server, limit=2)
    for host in ("a.example", "b.example"):
        with pytest.raises(TimeoutError):
            lookups.addresses(host, 80, 0.01)
    with pytest.raises(TransportError) as caught:
        lookups.addresses("c.example", 80, 20)
    assert caught.value.reason is Reason.NAME_NOT_RESOLVED
    assert caught.value.detail == (
        "c.example was not looked up: 2 other look-ups are still without an answer"
    )


def test_a_forked_process_does_not_wait_for_what_its_parent_has_asked(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups = LookUps(server, limit=1)
    with pytest.raises(TimeoutError):
        lookups.addresses("a.example", 80, 0.01)
    monkeypatch.setattr(os, "getpid", lambda: -1)  # As after a fork.
    server.answers.set()
    assert lookups.addresses("a.example", 80, 20) == [ADDRESS]


def test_where_no_thread_can_be_started_the_name_is_not_resolved(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = LookUps(server, limit=1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        with pytest.raises(TransportError, match="no thread could be started"):
            lookups.addresses("a.example", 80, 20)
    server.answers.set()
    assert lookups.addresses("a.example", 80, 20) == [ADDRESS]
