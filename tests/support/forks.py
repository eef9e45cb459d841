"""A process that sends, forks, and sends again."""

import subprocess
import sys

_FORKS = """
import os, sys
from uuid import uuid4
from thornsdk import URL, AddressRules, Request
from thornsdk_plugins.urllib3 import PooledTransport

url, ca_bundle = sys.argv[1], sys.argv[2] or None
transport = PooledTransport(ca_bundle=ca_bundle)
guard = AddressRules(allow=["127.0.0.1"]).forbidden

def send(body):
    request = Request(id=uuid4(), url=URL.parse(url), headers=(), body=body, timeout=20, guard=guard)
    return transport.send(request).reused

print("parent", send(b"parent"), flush=True)
if os.fork() == 0:
    print("child", send(b"child"), send(b"child"), flush=True)
    transport.close()
    sys.exit()
os.wait()
print("parent", send(b"parent"), flush=True)
transport.close()
"""


def fork_and_send(url: str, ca_bundle: str = "") -> list[str]:
    """Sends in a process, in a child that it forks, and in it again; gives what each says."""
    return _run(_FORKS, url, ca_bundle)


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
    return _run(_PUBLISHES, broker_url)


def _run(program: str, *words: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", program, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stderr == ""
    return ran.stdout.splitlines()
