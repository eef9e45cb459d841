"""A network of our own in which every address is this machine: what is dialled, is seen.

Linux lets a user make one (unshare(1)), and can take all addresses for its own (the AnyIP of ip-route(8)). So
it can be shown that an address was not dialled, for addresses that no test could listen at otherwise.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from functools import cache
from ipaddress import ip_address

from attrs import evolve, frozen

from support.addresses import FORBIDDEN, SPELLINGS, host
from support.forks import run_in
from support.transports import make_transport
from support.wire import Listener, keeps_answering, request_to, told
from thornsdk import AddressRules, Reason, Transport, exchange
from thornsdk.typing import IPAddress

_SET_UP = "ip link set lo up && ip route add local default dev lo && ip -6 route add local default dev lo"
_ENTER = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c", f'{_SET_UP} && exec "$@"', "sh")
_PROGRAM = "from support.anywhere import main; main()"


@cache
def can_be_anywhere() -> bool:
    """Tells whether such a network can be made here."""
    try:
        return subprocess.run([*_ENTER, "true"], capture_output=True, check=False, timeout=20).returncode == 0
    except OSError:
        return False


@frozen
class Sight:
    """What was seen there.

    Attributes:
        tried: How many requests were made.
        dialled: Which addresses were dialled.
        told: What came of the requests, each once.
    """

    tried: int
    dialled: set[str]
    told: set[str]


def look(kind: str, rules: str, way: str) -> Sight:
    """Sends to all forbidden addresses there, and tells what was seen.

    Args:
        kind: The transport.
        rules: ``strict`` for the rules of policy, ``none`` for a guard that lets all pass.
        way: Whether the URLs have each address ``literal`` or a name ``named`` so.
    """
    (line,) = run_in(_ENTER, _PROGRAM, kind, rules, way)
    tried, dialled, what = json.loads(line)
    return Sight(tried, set(dialled), set(what))


def main() -> None:
    """What runs there."""
    kind, rules, way = sys.argv[1:]
    with ExitStack() as stack:
        v6 = stack.enter_context(Listener(keeps_answering(), "::"))
        v4 = stack.enter_context(Listener(keeps_answering(), "0.0.0.0", v6.port))
        hosts = tuple(_names()) if way == "named" else (*map(host, FORBIDDEN), *SPELLINGS)
        transport = make_transport(kind, **_options(way))
        stack.callback(transport.close)
        what = {_send(transport, one, v6.port, rules) for one in hosts}
        print(json.dumps([len(hosts), [*v4.dialled, *v6.dialled], sorted(what)]), flush=True)  # noqa: T201


def _options(way: str) -> dict[str, object]:
    return {"resolver": lambda name, port: [_names()[name]]} if way == "named" else {}


@cache
def _names() -> dict[str, IPAddress]:
    return {f"n{number}.example": ip_address(one) for number, one in enumerate(FORBIDDEN)}


def _send(transport: Transport, name: str, port: int, rules: str) -> str:
    request = request_to(f"http://{name}:{port}/", rules=AddressRules(), timeout=5)
    if rules == "none":
        request = evolve(request, guard=lambda address: None, timeout=1)
    came = told(exchange(transport.send, request))
    return str(came) if isinstance(came, Reason) else "answered"
