"""A process that sends events from several threads, and says of each that `send` has taken it."""

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

from thornsdk import Event, Thorn

THREADS = 8


def _send(event: Event[dict[str, int]], number: int) -> None:
    receipt = event.send({"id": number})
    # One write, so that a line is whole or not there.
    sys.stdout.write(f"{receipt.message_id}\n")
    sys.stdout.flush()


def main(count: int) -> None:
    with Thorn() as thorn, ThreadPoolExecutor(THREADS) as threads:
        event = thorn.event("order.created", payload_type=dict[str, int])
        list(threads.map(_send, repeat(event), range(count)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
