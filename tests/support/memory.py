"""How much memory a process takes that sends to many, counted by the kernel: what C takes counts too."""

import json
import re
import sys
from pathlib import Path

from support.forks import run
from support.transports import make_transport
from support.wire import request_to

_PROGRAM = "from support.memory import main; main()"


def growth_beside(kind: str, warm_up: list[str], urls: list[str], timeout: float) -> int:
    """Sends to many URLs in a process of its own, and gives by how many megabytes its peak has grown.

    Args:
        kind: The transport.
        warm_up: What it sends to before its memory is looked at.
        urls: What it sends to after that.
        timeout: The deadline of each request, in seconds.
    """
    (line,) = run(_PROGRAM, json.dumps([kind, warm_up, urls, timeout]))
    return int(line)


def main() -> None:
    """What that process does."""
    kind, warm_up, urls, timeout = json.loads(sys.argv[1])
    transport = make_transport(kind)
    list(transport.send_many(request_to(url) for url in warm_up))
    before = _peak()
    list(transport.send_many(request_to(url, timeout=timeout) for url in urls))
    print((_peak() - before) // 1024, flush=True)  # noqa: T201 - the parent reads it
    transport.close()


def _peak() -> int:
    """The largest resident size until now, in kilobytes (proc(5)); getrusage(2) counts the parent's too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+([0-9]+) kB", status)
    assert found is not None
    return int(found[1])
