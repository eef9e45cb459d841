"""A process that sends, forks, and sends again; and a way to run programs."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_TESTS = Path(__file__).parents[1]

_FORKS = """
import os, sys
from support.transports import make_transport
from support.wire import request_to

kind, url, ca_bundle, way = sys.argv[1], sys.argv[2], sys.argv[3] or None, sys.argv[4]
transport = make_transport(kind, ca_bundle=ca_bundle)

def send(body):
    return transport.send(request_to(url, body)).reused

print("parent", send(b"parent"), flush=True)
if os.fork() == 0:
    if way != "idle":
        print("child", send(b"child"), send(b"child"), flush=True)
    if way == "dies":
        os._exit(0)
    if way == "closes":
        transport.close()
    sys.exit()
os.wait()
print("parent", send(b"parent"), flush=True)
transport.close()
"""


def fork_and_send(kind: str, url: str, ca_bundle: str = "", way: str = "closes") -> list[str]:
    """Sends in a process, in a child that it forks, and in it again; gives what each says.

    Args:
        kind: The transport.
        url: Where to.
        ca_bundle: The authority to trust, where it is not the system's.
        way: How the child goes: it ``closes`` the transport, ``exits`` without, ``dies`` at once, or is
            ``idle`` and never sends.
    """
    # Who exits without closing leaves it to Python to close sockets, which warns of each.
    warnings = "ignore" if way == "exits" else "error::ResourceWarning"
    return run(_FORKS, kind, url, ca_bundle, way, warnings=warnings)


_FORKS_IN_FLIGHT = """
import os, sys, threading
from support.transports import make_transport
from support.wire import request_to, told

kind, url = sys.argv[1], sys.argv[2]
transport = make_transport(kind, concurrency=8)
child = 0
for number, one in enumerate(transport.send_many(request_to(url, b"parent") for _ in range(40))):
    assert told(one) == 200, told(one)
    if number == 10:
        child = os.fork()
        if child == 0:
            assert transport.send(request_to(url, b"child")).status == 200
            children = transport.send_many(request_to(url, b"child") for _ in range(9))
            assert [told(one) for one in children] == [200] * 9
            os._exit(0)
_, status = os.waitpid(child, 0)
print("child", status, flush=True)
transport.close()
"""


def fork_in_flight(kind: str, url: str) -> list[str]:
    """Forks while requests are in flight; the child sends as well. Gives how the child ended."""
    return run(_FORKS_IN_FLIGHT, kind, url)


_PUBLISHES = """
import os, sys
from thornsdk import Thorn

thorn = Thorn(dispatcher="celery", broker_url=sys.argv[1])
created = thorn.event("order.created")

def sockets():
    links = (os.readlink(one.path) for one in os.scandir("/proc/self/fd") if os.path.lexists(one.path))
    return {one for one in links if one.startswith("socket:")}

created.send("parent")
of_parent = sockets()
if os.fork() == 0:
    created.send("child")
    print("child", of_parent < sockets(), flush=True)
    thorn.close()
    print("child", sockets() == of_parent, flush=True)
    os._exit(0)
os.wait()
created.send("parent")
print("parent", sockets() == of_parent, flush=True)
thorn.close()
print("parent", sockets() == set(), flush=True)
"""


def fork_and_publish(broker_url: str) -> list[str]:
    """Publishes in a process, in a child that it forks, and in it again.

    Gives whether the child opened connections of its own, and closed those alone, and whether the parent
    went on over its own, and closed them.
    """
    return run(_PUBLISHES, broker_url)


def run(program: str, *words: str, warnings: str = "error::ResourceWarning") -> list[str]:
    """Runs a program in a process of its own, which must say nothing to stderr; gives the lines it says.

    Args:
        program: The program.
        words: Its arguments.
        warnings: What becomes of warnings, as in ``python -W``.
    """
    return run_in((), program, *words, warnings=warnings)


def run_in(
    place: Sequence[str], program: str, *words: str, warnings: str = "error::ResourceWarning"
) -> list[str]:
    """Runs a program as `run` does, by a command that runs commands somewhere."""
    ran = subprocess.run(
        [*place, sys.executable, "-W", warnings, "-c", program, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_TESTS), *_path()])},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def _path() -> list[str]:
    return [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
