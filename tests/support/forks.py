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
    ran = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", _FORKS, url, ca_bundle],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stderr == ""
    return ran.stdout.splitlines()
