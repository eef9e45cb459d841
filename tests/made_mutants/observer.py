from made_mutants import Mutant

INIT = "        self._path = path\n"
LAST = "        last = record.last\n"

MUTANTS = (
    Mutant(
        "a method that is forgotten",
        breaks="test_is_an_observer",
        seen="it is a PigeonObserver, which is no Observer: it has no observe",
        changes={"    def observe(self": "    def record(self"},
    ),
    Mutant(
        "a status that is not there",
        breaks="test_takes_any_record",
        seen="status=None, held=None, sender=None, event=order.created it raised TypeError",
        changes={'"status": last.status,': '"status": int(last.status),'},
    ),
    Mutant(
        "an answer that nobody reads",
        breaks="test_gives_nothing",
        seen="it gave a int",
        changes={"            file.write(": "            return file.write("},
    ),
    Mutant(
        "what the first thread alone has",
        breaks="test_serves_several_threads",
        seen="it raised AttributeError: '_thread._local' object has no attribute 'told'",
        changes={
            INIT: f"{INIT}        self._own = threading.local()\n        self._own.told = 0\n",
            LAST: f"{LAST}        self._own.told += 1\n",
        },
    ),
    Mutant(
        "a lock that nobody gives back",
        breaks="test_does_not_hold_up_deliveries",
        seen="to observe 100 records did not end within",
        changes={"with self._lock, self._path": "self._lock.acquire()\n        with self._path"},
        hangs=True,
    ),
    Mutant(
        "a name that is looked up",
        breaks="test_sends_nothing",
        seen="it called gethostbyname",
        changes={LAST: f'{LAST}        socket.gethostbyname("localhost")\n'},
        imports="import socket",
    ),
)
