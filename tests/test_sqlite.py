import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from support.records import MINUTE, NOW, delivery, in_state, subscription
from support.scripts import Process, running
from thornsdk import (
    Audience,
    Breaker,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    EventPattern,
    Traffic,
    covering,
)
from thornsdk.errors import (
    ClosedError,
    ConfigurationError,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFull,
)
from thornsdk.testing import make_accepted, make_claim
from thornsdk_plugins.sqlite import SqliteStore, database
from thornsdk_plugins.sqlite.database import Database
from thornsdk_plugins.sqlite.schema import APPLICATION_ID, TABLES, VERSION

EVENT = Audience(event="order.created")

Start: TypeAlias = Callable[[Path, str], Process]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "thorn.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path, busy_seconds=0.2)) as one:
        yield one


_BEGIN = """
import sys
from support.records import MINUTE, NOW, delivery, subscription
from thornsdk.testing import make_claim
from thornsdk_plugins.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
"""
_LOCKS = """
with store._database.transaction():
    print("locked", flush=True)
    sys.stdin.read()
store.close()
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes in which `store` is open on a file; none outlives the test."""
    with ExitStack() as stack:

        def start_one(path: Path, script: str) -> Process:
            return stack.enter_context(running(_BEGIN + script, path))

        yield start_one


def finish(process: Process) -> str:
    """Waits for a process to end well, and gives what it printed."""
    out, _ = process.communicate(timeout=50)
    assert process.returncode == 0
    return out


def run_together(processes: list[Process]) -> str:
    """Lets processes that say that they are ready go on at once; gives what they printed after that."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return "".join(finish(process) for process in processes)


def raw(path: Path, *statements: str) -> list[object]:
    """Runs statements as another program would; gives the first row of the last."""
    with closing(sqlite3.connect(path)) as connection:
        rows = [connection.execute(one).fetchone() for one in statements]
        connection.commit()
    return list(rows[-1] or ())


def test_what_was_put_is_there_when_the_file_is_opened_again(path: Path) -> None:
    one, record = subscription(), delivery()
    with closing(SqliteStore(path)) as store:
        store.put([one])
        store.record(record)
    with closing(SqliteStore(str(path))) as store:
        assert (store.find(one.id), store.delivery(record.id)) == (one, record)


def test_the_file_is_in_wal_mode_and_marked_as_ours(store: SqliteStore, path: Path) -> None:
    assert raw(path, "PRAGMA journal_mode") == ["wal"]
    assert raw(path, "PRAGMA application_id") == [APPLICATION_ID]
    assert raw(path, "PRAGMA user_version") == [VERSION]


def test_only_its_owner_can_read_the_file_and_its_side_files(store: SqliteStore, tmp_path: Path) -> None:
    store.put([subscription()])
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()}
    assert modes == {"thorn.db": 0o600, "thorn.db-wal": 0o600, "thorn.db-shm": 0o600}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///thorn.db", "thorn.db"),
        ("sqlite:///a b/é.db", "a b/é.db"),
        ("sqlite:///{here}/x.db", "x.db"),
    ],
)
def test_a_url_names_the_file(url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path)
    SqliteStore.from_url(url.format(here=tmp_path)).close()
    assert (tmp_path / name).is_file()


@pytest.mark.parametrize(
    "url", ["sqlite", "sqlite:", "sqlite://", "sqlite:///", "sqlite://x.db", "sqlite:///:memory:"]
)
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SqliteStore.from_url(url)
    assert str(caught.value) == (
        f"{url!r} names no file; give sqlite:///relative.db or sqlite:////absolute.db, or the store 'memory' "
        f"for one that lives in the process"
    )


@pytest.mark.parametrize(
    ("layout", "advice"), [(VERSION + 1, "upgrade thornsdk"), (VERSION - 1, "give the store a new file")]
)
def test_a_file_of_another_release_is_refused_and_left_as_it_is(path: Path, layout: int, advice: str) -> None:
    SqliteStore(path).close()
    raw(path, f"PRAGMA user_version = {layout}")
    with pytest.raises(StoreDamaged) as caught:
        SqliteStore(path)
    assert str(caught.value) == (
        f"{path} was made by another release (layout {layout}, this one knows {VERSION}); {advice}"
    )
    assert raw(path, "PRAGMA user_version") == [layout]


def test_the_database_of_another_program_is_refused_and_left_as_it_is(path: Path) -> None:
    raw(path, "CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreDamaged, match="is the database of another program; give the store its own file"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"dear diary, " * 1000)
    with pytest.raises(StoreDamaged, match="is not a sound SQLite database"):
        SqliteStore(path)
    assert path.read_bytes() == b"dear diary, " * 1000


def test_a_file_that_was_damaged_is_told(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.put(subscription() for _ in range(500))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    # It may be met as early as the list of tables is read.
    with (
        pytest.raises(StoreDamaged, match="is not a sound SQLite"),
        closing(SqliteStore(path)) as store,
    ):
        list(store.subscriptions())


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    with closing(SqliteStore(path)) as store:
        store.put([subscription()])
        assert len(list(store.subscriptions())) == 1


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("missing/thorn.db", "cannot be made: No such file or directory"),
        ("file/thorn.db", "cannot be made: Not a directory"),
        ("x" * 300, "cannot be made: File name too long"),
        ("", "failed: unable to open database file"),
    ],
)
def test_a_place_where_no_file_can_be_is_told(place: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        SqliteStore(tmp_path / place)
    assert str(caught.value) == f"the store {tmp_path / place} {problem}"


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    tmp_path.chmod(0o500)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # Rights do not hold for root, so let us be somebody else.
    yield tmp_path
    if root:
        os.seteuid(0)


def test_a_folder_that_cannot_be_written_to_is_told(closed_folder: Path) -> None:
    with pytest.raises(StoreError, match="cannot be made: Permission denied"):
        SqliteStore(closed_folder / "thorn.db")


def test_a_lock_of_another_process_is_waited_for(path: Path, start: Start) -> None:
    store = SqliteStore(path, busy_seconds=40)
    process = start(path, _LOCKS)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with closing(store), ThreadPoolExecutor(1) as threads:
        putting = threads.submit(store.put, [subscription()])
        finish(process)
        putting.result(timeout=50)
        assert len(list(store.subscriptions())) == 1


def test_a_lock_that_is_held_too_long_is_told_and_nothing_is_written(
    store: SqliteStore, path: Path, start: Start
) -> None:
    process = start(path, _LOCKS)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(StoreBusy) as caught:
        store.put([subscription()])
    assert str(caught.value) == (
        f"the store {path} was locked by another process for 0.2 s; nothing was written. Find who holds it "
        f"open in a transaction"
    )
    assert list(store.subscriptions()) == []  # Who only reads does not wait.
    finish(process)
    store.put([subscription()])


def test_a_store_is_opened_and_read_while_another_process_holds_the_lock(path: Path, start: Start) -> None:
    process = start(path, _LOCKS)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with closing(SqliteStore(path, busy_seconds=0.1)) as store:
        assert list(store.subscriptions()) == []
        assert list(store.counts()) == []
    finish(process)


def test_a_file_that_another_program_locks_whole_is_told(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy, match="was locked by another process"):
            SqliteStore(path, busy_seconds=0.1)


def test_the_change_to_wal_waits_for_a_lock(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as threads:
            opening = threads.submit(SqliteStore, path)
            threading.Event().wait(0.1)
            assert not opening.done()
            other.execute("COMMIT")
            opening.result(timeout=50).close()


def test_the_change_to_wal_does_not_wait_for_ever(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            SqliteStore(path, busy_seconds=0.1)


def fill(store: SqliteStore) -> None:
    """Leaves the file no page to grow by, as on a disk that is full."""
    # One page is less than there are, so it means: no more than there are.
    store._database.rows("PRAGMA max_page_count = 1")


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.put(subscription() for _ in range(500)),
        lambda store: store.record(evolve(delivery(), body=b"x" * 100_000)),
    ],
    ids=["put", "record"],
)
def test_where_the_disk_is_full_nothing_is_half_written(
    write: Callable[[SqliteStore], None], store: SqliteStore, path: Path
) -> None:
    one = subscription()
    store.put([one])
    fill(store)
    with pytest.raises(StoreFull) as caught:
        write(store)
    assert str(caught.value) == f"the disk of the store {path} is full; nothing was written. Make room"
    assert list(store.subscriptions()) == list(store.matching(EVENT)) == [one]
    assert list(store.deliveries()) == []
    assert raw(path, "SELECT count(*) FROM bodies") == [0]
    store.remove(one.id)
    assert raw(path, "PRAGMA integrity_check") == ["ok"]


def test_a_disk_that_is_full_when_the_file_is_made_leaves_a_file_that_can_be_used_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TABLES", ("PRAGMA max_page_count = 2", *TABLES))
    with pytest.raises(StoreFull):
        SqliteStore(path)
    monkeypatch.undo()
    with closing(SqliteStore(path)) as store:
        store.put([subscription()])


def test_a_disk_that_has_no_room_for_the_side_files_is_told_as_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room = sqlite3.OperationalError("disk I/O error")
    no_room.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE

    def refuse(*_: object) -> None:
        raise no_room

    monkeypatch.setattr(Database, "_prepare", refuse)
    with pytest.raises(StoreFull) as caught:
        SqliteStore(path)
    assert str(caught.value) == f"the disk of the store {path} is full; nothing was written. Make room"


def test_an_error_that_sqlite_gives_no_name_to_is_told(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="failed: no such table: nowhere"):
        store._database.rows("SELECT * FROM nowhere")
    with pytest.raises(StoreError, match="failed: Incorrect number of bindings"):
        store._database.rows("SELECT ?")


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.put([]),
        lambda store: store.find(uuid4()),
        lambda store: store.change(uuid4(), lambda known: known),
        lambda store: list(store.subscriptions()),
        lambda store: list(store.matching(EVENT)),
        lambda store: list(store.deliveries()),
        lambda store: store.claim_due(NOW, 1, make_claim(NOW)),
        lambda store: store.take(uuid4(), NOW, delivery(due=NOW)),
        lambda store: store.identity,
    ],
)
def test_a_store_that_was_closed_says_so(
    use: Callable[[SqliteStore], object], store: SqliteStore, path: Path
) -> None:
    store.close()
    with pytest.raises(ClosedError, match=f"^the store {path} was closed$"):
        use(store)


def test_a_stream_that_is_read_after_closing_says_so(store: SqliteStore) -> None:
    store.put(subscription() for _ in range(300))
    stream = store.subscriptions()
    next(stream)
    store.close()
    with pytest.raises(ClosedError):
        list(stream)


def test_a_stream_that_is_left_holds_no_lock(store: SqliteStore, path: Path) -> None:
    store.put(subscription() for _ in range(300))
    streams = [store.subscriptions(), store.matching(EVENT)]
    for one in streams:
        next(one)
    raw(path, "PRAGMA wal_checkpoint(TRUNCATE)", "DELETE FROM subscriptions")
    assert all(len(list(one)) < 300 for one in streams)


def test_another_store_on_the_same_file_takes_no_lock_away(
    store: SqliteStore, path: Path, start: Start
) -> None:
    store.put([subscription()])
    SqliteStore(path).close()
    # The last one to close a file removes its log. While ours is open, another process is not the last.
    finish(start(path, "store.close()"))
    assert path.with_name("thorn.db-wal").exists()


def test_threads_share_a_store(store: SqliteStore) -> None:
    def work(_: int) -> None:
        for _ in range(10):
            one = subscription()
            store.put([one])
            store.record(delivery())
            assert store.find(one.id) == one

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert len(list(store.matching(EVENT))) == len(list(store.deliveries())) == 80


@pytest.mark.parametrize("number", range(5))
def test_threads_make_the_file_at_once(number: int, path: Path) -> None:
    together = threading.Barrier(8)

    def work(_: int) -> SqliteStore:
        together.wait(timeout=20)
        return SqliteStore(path)

    with ThreadPoolExecutor(8) as threads, ExitStack() as stack:
        stores = [stack.enter_context(closing(one)) for one in threads.map(work, range(8))]
        for one in stores:
            one.put([subscription()])
        assert [len(list(one.subscriptions())) for one in stores] == [8] * 8


def test_processes_make_the_file_and_write_at_once(path: Path, start: Start) -> None:
    script = """
for _ in range(25):
    store.put([subscription()])
    store.record(delivery())
store.close()
"""
    for process in [start(path, script) for _ in range(4)]:
        finish(process)
    with closing(SqliteStore(path)) as store:
        assert len(list(store.matching(EVENT))) == len(list(store.deliveries())) == 100
    assert raw(path, "PRAGMA integrity_check") == ["ok"]


def test_of_processes_that_change_a_subscription_none_undoes_another(
    store: SqliteStore, path: Path, start: Start
) -> None:
    one = subscription(disabled="0")
    store.put([one])
    script = f"""
from uuid import UUID
from attrs import evolve
print("ready", flush=True)
sys.stdin.readline()
for _ in range(40):
    store.change(UUID("{one.id}"), lambda known: evolve(known, disabled=str(int(known.disabled) + 1)))
store.close()
"""
    run_together([start(path, script) for _ in range(3)])
    assert store.find(one.id) == evolve(one, disabled="120")


def test_processes_claim_each_delivery_once(store: SqliteStore, path: Path, start: Start) -> None:
    ids = set()
    for _ in range(60):
        store.record(one := delivery(due=NOW))
        ids.add(str(one.id))
    script = """
while claimed := store.claim_due(NOW, 3, make_claim(NOW + MINUTE)):
    for one in claimed:
        print(one.id)
store.close()
"""
    claimed = "".join(finish(process) for process in [start(path, script) for _ in range(3)]).split()
    assert (len(claimed), set(claimed)) == (60, ids)


def test_processes_take_each_delivery_once(store: SqliteStore, path: Path, start: Start) -> None:
    ids = set()
    for _ in range(60):
        store.record(one := delivery(due=NOW))
        ids.add(str(one.id))
    script = """
due = list(store.deliveries())
print("ready", flush=True)
sys.stdin.readline()
for one in due:
    if store.take(one.id, NOW, one.due_at(NOW + MINUTE)):
        print(one.id)
store.close()
"""
    taken = run_together([start(path, script) for _ in range(3)]).split()
    assert (len(taken), set(taken)) == (60, ids)


def test_a_file_has_one_identity_for_all_who_open_it(store: SqliteStore, path: Path, start: Start) -> None:
    with closing(SqliteStore(path)) as other:
        assert store.identity == other.identity
    assert finish(start(path, "print(store.identity); store.close()")).strip() == store.identity


def test_each_file_has_an_identity_of_its_own(store: SqliteStore, tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "other.db")) as other:
        assert len({store.identity, other.identity}) == 2


def test_a_forked_child_sees_the_same_identity(path: Path, start: Start) -> None:
    script = """
import os
seen = store.identity
if os.fork() == 0:
    print(store.identity == seen, flush=True)
    store.close()
    sys.exit()
os.wait()
print(store.identity == seen)
store.close()
"""
    assert finish(start(path, script)).splitlines() == ["True", "True"]


_FORKS = """
import os, tempfile
store.put([subscription()])
connection = store._database._connection
if os.fork() == 0:
    with tempfile.TemporaryDirectory() as elsewhere:
        os.chdir(elsewhere)
        store.put([subscription()])
        own = store._database._connection is not connection
        print(len(list(store.subscriptions())), own, flush=True)
        store.close()
    sys.exit()
os.wait()
store.put([subscription()])
own = store._database._connection is connection
print(len(list(store.subscriptions())), own)
store.close()
"""


def test_a_forked_child_opens_the_file_again(path: Path, start: Start) -> None:
    assert finish(start(path, _FORKS)).splitlines() == ["2 True", "3 True"]
    assert raw(path, "PRAGMA integrity_check") == ["ok"]


def test_a_forked_child_finds_a_relative_file_from_another_folder(
    path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    monkeypatch.chdir(path.parent)
    assert finish(start(Path(path.name), _FORKS)).splitlines() == ["2 True", "3 True"]


def test_a_child_that_lets_go_opens_again_and_never_touches_what_it_had(store: SqliteStore) -> None:
    store.put([subscription()])
    had = store._database._connection
    assert had is not None
    database._forget_all()  # What the fork hook calls; here in the parent, where it can be watched.
    database._forget_all()
    assert len(list(store.subscriptions())) == 1
    assert store._database._connection is not had
    assert had.execute("SELECT count(*) FROM subscriptions").fetchone() == (1,)
    had.close()


QUEUED = evolve(delivery(due=NOW), order_key="a")


def plans(store: SqliteStore, read: Callable[[], object]) -> list[str]:
    """Gives how SQLite goes about each statement that is run while reading."""
    connection = store._database._connection
    assert connection is not None
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    read()
    connection.set_trace_callback(None)
    found = [sql for sql in statements if "SELECT" in sql]
    return [row[3] for sql in found for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize(
    "read",
    [
        lambda store: list(store.matching(EVENT)),
        lambda store: list(store.matching(Audience(event="order.created", sender="tenant"))),
        lambda store: list(store.matching(Audience(event="order.created", broadcast=True))),
        lambda store: list(store.disabled(EVENT)),
        lambda store: list(store.disabled(Audience(event="order.created", sender="tenant"))),
        lambda store: list(store.disabled(Audience(event="order.created", broadcast=True))),
        lambda store: list(store.subscriptions()),
        lambda store: list(store.deliveries()),
        lambda store: list(store.deliveries(in_state(DeliveryState.DELIVERED))),
        lambda store: list(store.deliveries(in_state(DeliveryState.PENDING, DeliveryState.LEASED))),
        lambda store: list(store.deliveries(DeliveryFilter(subscription_id=uuid4()))),
        lambda store: list(store.deliveries(DeliveryFilter(owner="tenant"))),
        lambda store: list(store.deliveries(DeliveryFilter(since=NOW, before=NOW + MINUTE))),
        lambda store: list(store.deliveries(DeliveryFilter(event=EventPattern("order.*")))),
        lambda store: store.claim_due(NOW, 5, make_claim(NOW + MINUTE)),
        lambda store: store.claim_new(uuid4(), 5, make_claim(NOW + MINUTE)),
        lambda store: store.attempts(uuid4()),
        lambda store: store.find(uuid4()),
        lambda store: store.change(uuid4(), lambda known: known),
        lambda store: store.delivery(uuid4()),
        lambda store: store.next_due(),
        lambda store: store.prune(NOW + MINUTE, 3),
        lambda store: store.prune(NOW + MINUTE, 3, frozenset({DeliveryState.FAILED})),
        lambda store: store.prune(NOW + MINUTE),
        lambda store: list(store.ordered(EVENT)),
        lambda store: list(store.ordered(Audience(event="order.created", sender="tenant"))),
        lambda store: store.ahead_of(QUEUED.id, stop=False),
        lambda store: store.ahead_of(QUEUED.id, stop=True),
        lambda store: store.next_in_line(QUEUED.id),
        lambda store: store.withdraw([uuid4()]),
        lambda store: store.failing_since(uuid4()),
        lambda store: store.change_breaker("https://example.com", lambda known: known),
        lambda store: store.change_traffic(uuid4(), lambda known: known),
    ],
)
def test_every_read_goes_by_an_index(
    read: Callable[[SqliteStore], object], analysed: bool, store: SqliteStore
) -> None:
    store.put(subscription(owner=owner) for owner in [None, "tenant"] * 150)
    store.put(subscription(owner=owner, disabled="enough") for owner in [None, "tenant"])
    for _ in range(20):
        store.record(delivery())
        store.record(delivery(due=NOW))
    store.accept([QUEUED])
    if analysed:
        store._database.rows("ANALYZE")
    found = plans(store, lambda: read(store))
    assert found
    assert [one for one in found if one.startswith("SCAN") and "INDEX" not in one] == []
    assert [one for one in found if "TEMP B-TREE" in one] == []


def test_matching_looks_at_what_matches_alone(store: SqliteStore) -> None:
    store.put(subscription(patterns="user.*") for _ in range(300))
    found = plans(store, lambda: list(store.matching(EVENT)))
    assert len(found) == 2 * len(covering(EVENT.event))
    assert all(one.startswith("SEARCH") for one in found)


@pytest.mark.parametrize("broadcast", [False, True])
def test_disabled_subscriptions_are_found_without_a_look_at_the_active_ones(
    store: SqliteStore, broadcast: bool
) -> None:
    store.put([subscription(disabled="enough"), *(subscription() for _ in range(300))])
    audience = Audience(event="order.created", broadcast=broadcast)
    found = [one for one in plans(store, lambda: list(store.disabled(audience))) if " s " not in one]
    assert found
    assert all(one.startswith("SEARCH") and "patterns_off" in one for one in found)


def test_where_nothing_is_disabled_one_look_tells(store: SqliteStore) -> None:
    store.put(subscription() for _ in range(300))
    assert len(plans(store, lambda: list(store.disabled(EVENT)))) == 1


def test_a_row_that_cannot_be_read_is_named_without_what_stands_in_it(path: Path) -> None:
    one, two = subscription(), delivery()
    with closing(SqliteStore(path)) as store:
        store.put([one])
        store.record(two)
        raw(path, "UPDATE subscriptions SET secrets = 'hush'")
        raw(path, "UPDATE deliveries SET attempt = 'hush'")
        with pytest.raises(StoreDamaged) as of_subscription:
            list(store.subscriptions())
        with pytest.raises(StoreDamaged) as of_delivery:
            store.delivery(two.id)
    told = "in the store cannot be read; mend or remove its row"
    assert str(of_subscription.value) == f"the subscription {one.id} {told}"
    assert str(of_delivery.value) == f"the delivery {two.id} {told}"


def test_a_breaker_that_cannot_be_read_counts_as_new_and_holds_up_nobody(
    store: SqliteStore, path: Path
) -> None:
    store.change_breaker("https://example.com", lambda known: Breaker(failures=1))
    raw(path, "UPDATE breakers SET probe = 'hush'")
    assert store.breakers() == {"https://example.com": Breaker()}
    store.change_breaker("https://example.com", lambda known: evolve(known, failures=7))
    assert store.breakers() == {"https://example.com": Breaker(failures=7)}


@pytest.mark.parametrize(
    "damage",
    [
        "in_flight = 'hush'",
        "in_flight = '5'",
        "in_flight = '[5]'",
        """in_flight = '[["hush", "2026-01-02T03:04:05+00:00"]]'""",
        "full_at = 'hush'",
        "late_until = '0001-01-01T00:00:00+14:00'",
        "duration = 'hush'",
    ],
)
def test_traffic_that_cannot_be_read_counts_as_new_and_holds_up_nobody(
    damage: str, store: SqliteStore, path: Path
) -> None:
    key = uuid4()
    store.change_traffic(key, lambda known: Traffic(queue_until=NOW))
    raw(path, f"UPDATE traffic SET {damage}")
    assert store.change_traffic(key, lambda known: known) == Traffic()
    store.change_traffic(key, lambda known: Traffic(duration=0.5))
    assert store.change_traffic(key, lambda known: known) == Traffic(duration=0.5)


def test_what_is_due_is_found_by_its_time_however_much_is_pending(store: SqliteStore) -> None:
    store.accept(delivery(due=NOW + MINUTE) for _ in range(2000))
    store.accept(delivery(due=NOW) for _ in range(150))
    found = plans(store, lambda: store.claim_due(NOW, 100, make_claim(NOW + MINUTE)))
    assert found[0] == "SEARCH deliveries USING INDEX deliveries_due (due_at<?)"
    assert [one.split(" USING")[0] for one in found[1:]] == ["SEARCH bodies"]


def test_what_is_new_of_a_message_is_found_by_its_message_however_much_is_pending(store: SqliteStore) -> None:
    message_id = uuid4()
    store.accept(make_accepted() for _ in range(2000))
    store.accept(evolve(make_accepted(), message_id=message_id) for _ in range(150))
    found = plans(store, lambda: store.claim_new(message_id, 100, make_claim(NOW + MINUTE)))
    assert found[0] == "SEARCH deliveries USING INDEX deliveries_new (message_id=?)"
    assert [one.split(" USING")[0] for one in found[1:]] == ["SEARCH bodies"]


def test_new_deliveries_that_cannot_be_read_are_told_when_there_are_no_others(
    store: SqliteStore, path: Path
) -> None:
    bad, good = (evolve(make_accepted(), message_id=UUID(int=1)) for _ in range(2))
    store.accept([bad, good])
    spoil(path, bad)
    assert store.claim_new(UUID(int=1), 10, make_claim(NOW + MINUTE)) == [good]
    with pytest.raises(StoreDamaged, match=f"the delivery {bad.id} in the store cannot be read"):
        store.claim_new(UUID(int=1), 10, make_claim(NOW + MINUTE))


def spoil(path: Path, *records: DeliveryRecord) -> None:
    """Makes that deliveries cannot be read."""
    for one in records:
        raw(path, f"UPDATE deliveries SET attempt = 'hush' WHERE id = '{one.id}'")


def test_a_due_delivery_that_cannot_be_read_holds_up_no_other(store: SqliteStore, path: Path) -> None:
    # By its id, it is the first of what is due.
    bad, *good = (evolve(delivery(due=NOW), id=UUID(int=number)) for number in range(4))
    store.accept([bad, *good])
    spoil(path, bad)
    claimed = [one.id for one in store.claim_due(NOW, 10, make_claim(NOW + MINUTE))]
    assert sorted(claimed) == sorted(one.id for one in good)


def test_due_deliveries_that_cannot_be_read_are_told_when_nothing_else_is_due(
    store: SqliteStore, path: Path
) -> None:
    bad = delivery(due=NOW)
    store.accept([bad])
    spoil(path, bad)
    with pytest.raises(StoreDamaged, match=f"the delivery {bad.id} in the store cannot be read"):
        store.claim_due(NOW, 10, make_claim(NOW + MINUTE))
    assert store.claim_due(NOW + 59 * MINUTE, 10, make_claim(NOW + 99 * MINUTE)) == []
    with pytest.raises(StoreDamaged):
        store.claim_due(NOW + 60 * MINUTE, 10, make_claim(NOW + 99 * MINUTE))


def test_many_deliveries_that_cannot_be_read_do_not_hold_up_the_next_claim(
    store: SqliteStore, path: Path
) -> None:
    bad, good = [delivery(due=NOW) for _ in range(3)], delivery(due=NOW + MINUTE)
    store.accept([*bad, good])
    spoil(path, *bad)
    with pytest.raises(StoreDamaged):
        store.claim_due(NOW + MINUTE, 3, make_claim(NOW + 2 * MINUTE))
    assert store.claim_due(NOW + MINUTE, 3, make_claim(NOW + 2 * MINUTE)) == [good]


def test_a_delivery_is_due_when_its_row_says(store: SqliteStore, path: Path) -> None:
    one = delivery(due=NOW)
    store.record(one)
    raw(path, "UPDATE deliveries SET due_at = '2026-01-02T04:00:00.000000+00:00'")
    assert store.delivery(one.id) == one.due_at(datetime(2026, 1, 2, 4, tzinfo=UTC))


def test_a_history_that_cannot_be_read_is_named_without_what_stands_in_it(
    store: SqliteStore, path: Path
) -> None:
    one = delivery()
    store.record(one)
    spoil(path, one)
    with pytest.raises(StoreDamaged) as caught:
        store.attempts(one.id)
    assert str(caught.value) == (
        f"the history of the delivery {one.id} in the store cannot be read; mend or remove its row"
    )


def test_where_the_disk_is_full_nothing_is_accepted(store: SqliteStore, path: Path) -> None:
    fill(store)
    with pytest.raises(StoreFull):
        store.accept(evolve(delivery(due=NOW), body=b"x" * 1000) for _ in range(100))
    assert list(store.deliveries()) == []
    assert raw(path, "SELECT count(*) FROM bodies") == [0]
