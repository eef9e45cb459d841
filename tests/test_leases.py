import os
import socket
from datetime import timedelta

import pytest

from support.forks import run
from thornsdk.leases import Holder, attempt_time, lease_time, time_needed


@pytest.mark.parametrize("timeout", [0.5, 10.0, 3600.0])
def test_a_lease_outlasts_an_attempt_that_waits_and_a_receiver_that_hangs_before_it(timeout: float) -> None:
    assert attempt_time(timeout) == timedelta(seconds=5 * timeout)
    assert time_needed(timeout) == timedelta(seconds=6 * timeout)
    assert lease_time(timeout) == timedelta(seconds=7 * timeout + 10)


def test_a_holder_is_named_by_its_host_and_its_process_and_keeps_its_name() -> None:
    holder = Holder()
    host, process, token = holder().split(":")
    assert (host, process) == (socket.gethostname(), str(os.getpid()))
    assert len(token) == 8
    assert holder() == holder()


def test_two_holders_of_one_process_are_told_apart() -> None:
    assert Holder()() != Holder()()


_FORKS = """
import os
from thornsdk.leases import Holder

holder = Holder()
print(os.getpid(), holder().split(":")[1], holder().split(":")[2], flush=True)
if os.fork() == 0:
    print(os.getpid(), holder().split(":")[1], holder().split(":")[2], flush=True)
    os._exit(0)
os.wait()
"""


def test_a_forked_child_has_a_name_of_its_own() -> None:
    parent, child = (line.split() for line in run(_FORKS))
    assert (parent[0], child[0]) == (parent[1], child[1])
    assert len({parent[1], child[1]}) == len({parent[2], child[2]}) == 2
