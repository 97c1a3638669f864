"""Several processes at one database: a crash loses nothing that was committed, and nobody writes over another."""

from __future__ import annotations

import signal

from promptyoself.domain.ports import ScheduleFilter
from tests.contract.lane_suite import add_delivery, add_schedule, lease
from tests.factories import a_new_schedule
from tests.storage.conftest import OpenStore, Start


def test_a_killed_process_leaves_what_it_committed_and_nothing_else(open_store: OpenStore, start: Start) -> None:
    process = start("""
with store.transaction() as tx:
    tx.add_schedule(a_new_schedule("whole"))
with store.transaction() as tx:
    for number in range(2000):  # more than the page cache's first spill, so that the log holds half of it
        tx.add_schedule(a_new_schedule(f"half-{number}", prompt="x" * 2000))
    say("in the middle")
    sys.stdin.read()
""")
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    store = open_store()
    with store.transaction() as tx:
        assert [schedule.uid for schedule in tx.schedules(ScheduleFilter())] == ["whole"]
        tx.add_schedule(a_new_schedule("next"))
    assert store.problems() == []


def test_a_process_killed_while_it_makes_the_database_leaves_none(open_store: OpenStore, start: Start) -> None:
    store = open_store()
    path = store.location
    store.close()
    process = start(f"""
import promptyoself.storage.sqlite as module
module._publish = lambda draft, place: (say("made"), sys.stdin.read())
SqliteStore.open({path!r} + ".other", new_uid=lambda: "f" * 32)
""")
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    add_schedule(open_store(path + ".other"))


def test_two_processes_write_at_once_and_both_are_heard(open_store: OpenStore, start: Start) -> None:
    store = open_store()
    code = """
sys.stdin.readline()
for number in range(100):
    with store.transaction() as tx:
        used = len(tx.facts(limit=10_000))
        tx.add_fact(a_fact(detail={"seen": used}))
say("done")
"""
    processes = [start(code) for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
    with store.reading() as tx:
        seen = [fact.detail["seen"] for fact in tx.facts(limit=10_000)]
    # Each transaction saw all those before it: nobody read what another was about to change.
    assert seen == list(range(200))


def test_a_lane_is_leased_by_one_of_two_processes(open_store: OpenStore, start: Start) -> None:
    store = open_store()
    schedule = add_schedule(store)
    add_delivery(store, schedule)
    code = f"""
with store.transaction() as tx:
    say(tx.lease_lane({schedule.lane!r}, token=str(os.getpid()), executor_id="x", now=NOW, until=NOW + MINUTE))
"""
    answers = sorted(process.communicate(timeout=60)[0].strip() for process in [start(code), start(code)])
    assert answers == ["False", "True"]
    assert not lease(store, schedule.lane)


def test_another_processs_commit_is_noticed(open_store: OpenStore, start: Start) -> None:
    store = open_store()
    before = store.change_mark()
    assert start('with store.transaction() as tx: tx.add_schedule(a_new_schedule("other"))').wait(timeout=60) == 0
    assert store.change_mark() != before
    assert store.change_mark() == store.change_mark()


def test_a_backup_under_steady_writing_is_of_one_state(open_store: OpenStore, start: Start) -> None:
    store = open_store()
    process = start("""
for number in range(10_000):
    with store.transaction() as tx:
        tx.add_fact(a_fact(detail={"n": number}))
        tx.add_fact(a_fact(detail={"n": number}))
    if number == 5:
        say("steady")
""")
    assert process.stdout is not None
    assert process.stdout.readline() == "steady\n"
    copy = open_store(store.backup(f"{store.location}.copy"))
    with copy.reading() as tx:
        seen = [fact.detail["n"] for fact in tx.facts(limit=10_000)]
    assert len(seen) >= 12
    assert seen == [number // 2 for number in range(len(seen))]
    assert copy.problems() == []
