from made_mutants import Mutant, method

INIT = "        self._port = port\n"
SENDS = "return self._send(request, Deadline(request.timeout))"
NEXT_METHOD = "    def _send(self"
NEXT_CLASS = "class Deadline:"
REFUSED = 'raise TransportError(Reason.CONNECTION_REFUSED, "nothing listens there") from exc'
LOST = 'raise TransportError(Reason.CONNECTION_LOST, "the connection broke") from exc'


def adds(code: str) -> dict[str, str]:
    """A method besides."""
    return {NEXT_METHOD: method(code) + NEXT_METHOD}


MUTANTS = (
    # A single request
    Mutant(
        "a method that is forgotten",
        breaks="test_is_a_transport",
        seen="it is a PigeonTransport, which is no Transport: it has no send",
        changes={"    def send(self": "    def post(self"},
    ),
    Mutant(
        "a scheme in upper case",
        breaks="test_names_its_schemes",
        seen="'PIGEON' is not in lower case",
        changes={'frozenset({"pigeon"})': 'frozenset({"PIGEON"})'},
    ),
    Mutant(
        "a version with a line break",
        breaks="test_names_its_client",
        seen="the value of the header 'User-Agent' cannot be sent",
        changes={'return f"pigeon/{VERSION}"': r'return f"pigeon/{VERSION}\n"'},
    ),
    Mutant(
        "another scheme than that of the URLs",
        breaks="test_serves_the_url_of_its_far_side",
        seen="the far side has 'pigeon', and it serves pigeons",
        changes={'frozenset({"pigeon"})': 'frozenset({"pigeons"})'},
    ),
    Mutant(
        "a body without its blanks",
        breaks="test_sends_the_exact_bytes",
        seen=r"b'\r\n\r\n', 4 bytes long, did not arrive as it was",
        changes={"netstring(request.body)": "netstring(request.body.strip())"},
    ),
    Mutant(
        "an empty header that is left out",
        breaks="test_sends_all_headers",
        seen="X-Empty did not arrive as it was",
        changes={"for name, value in request.headers)": "for name, value in request.headers if value)"},
    ),
    Mutant(
        "a loop that nobody leaves",
        breaks="test_sends_a_request_once",
        seen="some arrived more than once: {'0': 2",
        changes={
            SENDS: "for _ in range(2):\n"
            "                response = self._send(request, Deadline(request.timeout))\n"
            "            return response"
        },
    ),
    Mutant(
        "a status that is no number",
        breaks="test_gives_the_answer",
        seen="the status is b'200', which is no int",
        changes={"return int(answer[1])": "return answer[1]"},
    ),
    Mutant(
        "an answer that nobody reads",
        breaks="test_tells_a_refusal",
        seen="of one that was refused, it gave Response(status=200",
        changes={"return int(answer[1])": "return 200"},
    ),
    # Many requests
    Mutant(
        "requests that are copied",
        breaks="test_gives_one_result_for_each_request",
        seen="20 of 20 results are of requests that it was not given",
        changes=adds("""
            def send_many(self, requests):
                return super().send_many(evolve(one, timeout=min(one.timeout, 5.0)) for one in requests)
        """),
        imports="from attrs import evolve",
    ),
    Mutant(
        "calls that all send the last",
        breaks="test_sends_each_of_many",
        seen="of 20 bodies, there came {b'9': 20}",
        changes=adds("""
            def send_many(self, requests):
                calls = []
                for request in requests:
                    calls.append(lambda: exchange(self.send, request))
                return (call() for call in calls)
        """),
        imports="from thornsdk import exchange",
    ),
    Mutant(
        "a first request that is not there",
        breaks="test_gives_nothing_for_nothing",
        seen="it raised ValueError: not enough values to unpack",
        changes=adds("""
            def send_many(self, requests):
                first, *others = requests
                return super().send_many([first, *others])
        """),
    ),
    Mutant(
        "requests that a thread reads",
        breaks="test_reads_requests_in_the_callers_thread",
        seen="they were read in another thread",
        changes=adds("""
            def send_many(self, requests):
                with ThreadPoolExecutor() as pool:
                    yield from pool.submit(list, super().send_many(requests)).result()
        """),
        imports="from concurrent.futures import ThreadPoolExecutor",
    ),
    Mutant(
        "requests that are read at once",
        breaks="test_reads_requests_as_it_sends_them",
        seen="with 1 results given, it had read 1101 requests",
        changes=adds("""
            def send_many(self, requests):
                return super().send_many(list(requests))
        """),
    ),
    Mutant(
        "batches until one is empty",
        breaks="test_reads_a_stream_to_its_end_and_no_further",
        seen="3 requests have 4 results",
        changes=adds("""
            def send_many(self, requests):
                stream = iter(requests)
                while batch := list(islice(stream, 2)):
                    yield from super().send_many(batch)
        """),
        imports="from itertools import islice",
    ),
    Mutant(
        "requests that are read when nobody waits any more",
        breaks="test_may_be_left_early",
        seen="it has read 1100 more",
        changes=adds("""
            def send_many(self, requests):
                try:
                    yield from super().send_many(requests)
                finally:
                    self.left = len(list(requests))
        """),
    ),
    Mutant(
        "an error that ends all",
        breaks="test_gives_a_failure_as_a_result",
        seen="it raised TransportError: connection_refused",
        changes=adds("""
            def send_many(self, requests):
                for one in requests:
                    began_at, begin = datetime.now(UTC), time.monotonic()
                    result = self.send(one)
                    duration = time.monotonic() - begin
                    yield Exchange(request=one, result=result, started_at=began_at, duration=duration)
        """),
        imports="from datetime import UTC, datetime\n\nfrom thornsdk import Exchange",
    ),
    Mutant(
        "a moment without a time zone",
        breaks="test_tells_when_and_how_long",
        seen="it is said to begin at datetime.datetime(",
        changes=adds("""
            def send_many(self, requests):
                return (exchange(self.send, one, clock=datetime.now) for one in requests)
        """),
        imports="from datetime import datetime\n\nfrom thornsdk import exchange",
    ),
    # Troubles
    Mutant(
        "an error that nobody translates",
        breaks="test_says_that_nobody_is_there",
        seen="it raised ConnectionRefusedError in place of TransportError",
        changes={REFUSED: "raise exc"},
    ),
    Mutant(
        "a timeout that is told as another trouble",
        breaks="test_keeps_the_deadline",
        seen="its reason is connection_lost",
        changes={"raise TransportError(Reason.TIMEOUT,": "raise TransportError(Reason.CONNECTION_LOST,"},
    ),
    Mutant(
        "a deadline that begins anew with each byte",
        breaks="test_keeps_the_deadline_while_it_reads",
        seen="it gave an answer from pigeon://127.0.0.1:",
        changes={
            "        connection.settimeout(deadline.left())\n"
            "        more =": "        connection.settimeout(0.5)\n        more ="
        },
    ),
    Mutant(
        "a request that is sent again",
        breaks="test_sends_nothing_again_by_itself",
        seen="some arrived more than once: {'kept open': 2",
        changes={
            LOST: "with suppress(OSError):\n"
            "                return self._send(request, Deadline(request.timeout))\n"
            f"            {LOST}"
        },
        imports="from contextlib import suppress",
    ),
    Mutant(
        "a place that is given up for ever",
        breaks="test_serves_on_after_a_failure",
        seen="it raised TransportError: connection_lost",
        changes={
            INIT: f"{INIT}        self._is_down = False\n",
            SENDS: f"if self._is_down:\n                raise ConnectionError\n            {SENDS}",
            REFUSED: f"self._is_down = True\n            {REFUSED}",
        },
    ),
    Mutant(
        "a guard that is asked about names alone",
        breaks="test_sends_nothing_to_a_forbidden_address",
        seen="it gave an answer from pigeon://127.0.0.1:",
        changes={"if why := request.guard(address):": "if not known and (why := request.guard(address)):"},
    ),
    Mutant(
        "an error that quotes the path",
        breaks="test_tells_no_secret",
        seen="an error says: connection_refused: nothing listens at pigeon://127.0.0.1:",
        changes={'"nothing listens there")': 'f"nothing listens at {request.url.text}")'},
    ),
    Mutant(
        "an error that is made of something else",
        breaks="test_raises_errors_that_pickle",
        seen="it raised TypeError: ",
        changes={
            NEXT_CLASS: "class Refused(TransportError):\n"
            "    def __init__(self, url):\n"
            '        super().__init__(Reason.CONNECTION_REFUSED, f"nothing listens at {url.origin}")\n\n\n'
            f"{NEXT_CLASS}",
            REFUSED: "raise Refused(request.url) from exc",
        },
    ),
    # Threads, processes, and the end
    Mutant(
        "what the first thread alone has",
        breaks="test_serves_several_threads",
        seen="it raised AttributeError: '_thread._local' object has no attribute 'sent'",
        changes={
            INIT: f"{INIT}        self._own = threading.local()\n        self._own.sent = 0\n",
            SENDS: f"self._own.sent += 1\n            {SENDS}",
        },
        imports="import threading",
    ),
    Mutant(
        "results that all streams share",
        breaks="test_serves_several_streams",
        seen="results are missing, or were given to another thread",
        changes={
            INIT: f"{INIT}        self._results = []\n",
            **adds("""
                def send_many(self, requests):
                    self._results += super().send_many(requests)
                    return iter(self._results)
            """),
        },
    ),
    Mutant(
        "an end that comes once",
        breaks="test_closes_twice",
        seen="it raised AttributeError: 'PigeonTransport' object has no attribute '_look_ups'",
        changes=adds("""
            def close(self):
                del self._look_ups
        """),
    ),
    Mutant(
        "a connection that was never opened",
        breaks="test_closes_unused",
        seen="it raised AttributeError: 'PigeonTransport' object has no attribute '_connection'",
        changes={
            "as connection:\n": "as connection:\n            self._connection = connection\n",
            **adds("""
                def close(self):
                    self._connection.close()
            """),
        },
    ),
    Mutant(
        "a pool that is shut down",
        breaks="test_does_not_hang_after_its_end",
        seen="it raised RuntimeError: cannot schedule new futures after shutdown",
        changes={
            INIT: f"{INIT}        self._pool = ThreadPoolExecutor()\n",
            SENDS: "return self._pool.submit(self._send, request, Deadline(request.timeout)).result()",
            **adds("""
                def close(self):
                    self._pool.shutdown()
            """),
        },
        imports="from concurrent.futures import ThreadPoolExecutor",
    ),
    Mutant(
        "a timer that nobody calls off",
        breaks="test_lets_the_process_end",
        seen="is still running",
        changes={INIT: f"{INIT}        threading.Timer(60, self.close).start()\n"},
        imports="import threading",
        hangs=True,
    ),
    Mutant(
        "a thread that a child does not have",
        breaks="test_serves_after_a_fork",
        seen="in the child, the send did not end within",
        changes={
            INIT: f"{INIT}        self._pool = ThreadPoolExecutor(1)\n",
            SENDS: "return self._pool.submit(self._send, request, Deadline(request.timeout)).result()",
        },
        imports="from concurrent.futures import ThreadPoolExecutor",
        hangs=True,
    ),
)
