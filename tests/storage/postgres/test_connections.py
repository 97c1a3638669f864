"""Connections: how many, what happens when one breaks, and what people are told, never with a password."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from promptyoself.application.planner import plan_batch
from promptyoself.domain import limits
from promptyoself.domain.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreGone,
    StoreReadOnly,
    StoreUnreachable,
)
from promptyoself.domain.models import NewDelivery
from promptyoself.domain.ports import DeliveryFilter, ScheduleFilter
from promptyoself.storage.postgres import Bounds, PostgresStore, _location
from promptyoself.storage.postgres_errors import not_connected, refuse_unfit, translated
from promptyoself.storage.postgres_tx import PostgresTx
from tests.contract.lane_suite import add_schedule
from tests.e2e.stage import wait_for
from tests.factories import NOW, a_fact, a_new_delivery, a_new_schedule
from tests.postgres.server import PostgresServer
from tests.storage.postgres.conftest import Beside, Opened, Start

SECRET = "s3cr3t-w0rd"  # noqa: S105  it opens nothing
SOON = timedelta(milliseconds=300)


def connections(url: str) -> int:
    with psycopg.connect(url, application_name="looking") as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'promptyoself'"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """A server of this module's, to be stopped and killed."""
    with PostgresServer() as server:
        yield server


# -- how many -----------------------------------------------------------------------------------------------


def test_a_command_makes_one_connection(store: PostgresStore, url: str) -> None:
    schedule = add_schedule(store)
    with store.reading() as tx:
        assert tx.schedule(schedule.id) == schedule
    assert connections(url) == 1


def test_connections_are_bounded_and_the_wait_for_one_too(postgres_url: str, opened: Opened) -> None:
    store = opened(postgres_url, busy_for=SOON)
    with ExitStack() as all_of_them:
        for _ in range(limits.POSTGRES_CONNECTIONS_MAX):
            all_of_them.enter_context(store.reading())
        with pytest.raises(StoreBusy, match="in use"), store.transaction():
            pass
    with store.transaction() as tx:
        tx.add_fact(a_fact())
    store.close()
    # The server's side of each ends a moment later.
    wait_for("every connection's end", lambda: connections(postgres_url) == 0, within_s=10)


def test_a_store_closed_in_the_middle_of_a_transaction_lets_it_end(store: PostgresStore, url: str) -> None:
    with store.transaction() as tx:
        store.close()
        tx.add_fact(a_fact())
    assert connections(url) == 0


# -- connections that break ---------------------------------------------------------------------------------


def _end_all(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_server_that_was_restarted_between_two_transactions_is_no_failure(
    own: PostgresServer, opened: Opened
) -> None:
    store = opened(own.new_database())
    schedule = add_schedule(store)
    with store.glancing() as tx:
        assert tx.next_wake_at(now=NOW) is not None
    own.stop()
    with pytest.raises(StoreUnreachable, match="does not answer"), store.transaction():
        pass
    own.start()
    with store.glancing() as tx:
        assert tx.next_wake_at(now=NOW) == schedule.next_fire_at
    with store.reading() as tx:
        assert tx.schedule(schedule.id) == schedule


def test_a_server_that_is_killed_in_the_middle_undoes_that_transaction_alone(
    own: PostgresServer, opened: Opened
) -> None:
    store = opened(own.new_database())
    add_schedule(store, "before")

    def interrupted() -> None:
        with store.transaction() as tx:
            tx.add_schedule(a_new_schedule("lost"))
            own.kill()
            own.start()
            tx.add_schedule(a_new_schedule("lost, too"))

    with pytest.raises(StoreUnreachable):
        interrupted()
    add_schedule(store, "after")
    with store.reading() as tx:
        assert [one.uid for one in tx.schedules(ScheduleFilter())] == ["before", "after"]


def test_what_a_crash_takes_of_a_plan_is_planned_again_and_what_is_kept_after_it_keeps_it(opened: Opened) -> None:
    soon, later = NOW + timedelta(minutes=5), NOW + timedelta(minutes=10)
    with PostgresServer(is_durable=True) as server:
        store = opened(server.new_database())
        for uid, next_fire_at in (("first", soon), ("second", later)):
            add_schedule(store, uid, next_fire_at=next_fire_at)

        def plan(now: datetime) -> int:
            with store.transaction() as tx:
                plan_batch(tx, now=now, store_uid=store.uid)
            return stored()

        def stored() -> int:
            with store.reading() as tx:
                return len(tx.deliveries(DeliveryFilter(limit=9)))

        assert plan(soon) == 1
        with store.transaction() as tx:  # it waits for the disk, and for what was committed before it
            tx.add_fact(a_fact())
        server.kill()
        server.start()
        assert stored() == 1
        assert plan(later) == 3  # the first comes round again
        server.kill()
        server.start()
        assert plan(later) == 3
        store.close()


def test_a_connection_that_breaks_during_a_commit_leaves_a_doubt_and_says_so(store: PostgresStore, url: str) -> None:
    def interrupted() -> None:
        with store.transaction() as tx:
            tx.add_schedule(a_new_schedule())
            tx.write_what_is_kept()
            _end_all(url)

    with pytest.raises(StoreUnreachable, match="wholly, or not at all"):
        interrupted()
    assert store.change_mark() == store.change_mark()


def test_what_begins_with_its_first_statement_begins_on_a_connection_that_is_there(
    store: PostgresStore, url: str
) -> None:
    schedule = add_schedule(store)
    _end_all(url)
    with store.bracket(PostgresTx) as tx:
        assert connections(url) == 1
        assert tx.schedule(schedule.id) == schedule

    def interrupted() -> None:
        with store.bracket(PostgresTx) as tx:
            tx.add_fact(a_fact())
            assert tx.schedule(schedule.id) == schedule
            _end_all(url)
            tx.schedule(schedule.id)

    with pytest.raises(StoreUnreachable, match="does not answer"):
        interrupted()
    with store.bracket(PostgresTx) as tx:
        assert tx.is_alive
        tx.add_fact(a_fact())
    with store.reading() as tx:
        assert tx.newest_fact_id() == 1


def test_a_failure_in_a_transaction_that_began_with_its_first_statement_undoes_what_is_bounded(
    store: PostgresStore,
) -> None:
    def add_in_vain(tx: PostgresTx, strange: NewDelivery) -> None:
        tx.add_schedule(a_new_schedule("undone"))
        tx.add_delivery(strange, retry_until=NOW)

    def bounded(tx: PostgresTx, strange: NewDelivery) -> None:
        with tx.nested():
            add_in_vain(tx, strange)

    def whole(strange: NewDelivery) -> None:
        with store.bracket(PostgresTx) as tx:
            add_in_vain(tx, strange)

    with store.bracket(PostgresTx) as tx:
        made = tx.add_schedule(a_new_schedule("kept"))
        for strange in (a_new_delivery(made, missed=-1), a_new_delivery(made, reason="a\0b")):
            with pytest.raises(StoreError):
                bounded(tx, strange)
        assert tx.schedule(made.id) == made
    with pytest.raises(StoreError):
        whole(strange)
    with store.bracket(PostgresTx) as tx:
        assert tx.schedules(ScheduleFilter()) == [made]
    with store.bracket(PostgresTx):
        pass


def test_another_database_in_its_place_is_noticed(postgres: PostgresServer, opened: Opened) -> None:
    url = postgres.new_database()
    store = opened(url)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE meta SET value = 'another' WHERE name = 'store_uid'")
    _end_all(url)
    with pytest.raises(StoreGone, match="another database"), store.reading():
        pass


@pytest.mark.parametrize(
    ("begun", "told"),
    [
        ("transaction()", "stood still for too long"),
        ("bracket(PostgresTx)", "closed the connection"),  # within a pipeline the driver drops the server's last word
    ],
)
def test_a_stopped_process_loses_its_transaction_and_its_locks(
    begun: str, told: str, store: PostgresStore, url: str, start: Start
) -> None:
    schedule = add_schedule(store)
    process = start(
        url,
        f"""
store = opened(bounds=Bounds(idle_in_transaction=timedelta(milliseconds=500)))
from promptyoself.domain.errors import StoreBusy, StoreUnreachable
from promptyoself.storage.postgres_tx import PostgresTx
try:
    with store.{begun} as tx:
        tx.schedule({schedule.id})
        tx.add_fact(a_fact(actor="stopped"))
        say("held")
        sys.stdin.readline()
        tx.schedule({schedule.id})
except (StoreBusy, StoreUnreachable) as error:
    say(error.message)
with store.{begun} as tx:
    tx.add_fact(a_fact(actor="resumed"))
say("done")
""",
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGSTOP)
    try:
        with store.transaction() as tx:  # waits until the server has undone the other
            assert tx.schedule(schedule.id) == schedule
    finally:
        process.send_signal(signal.SIGCONT)
    process.stdin.write("go on\n")
    process.stdin.flush()
    assert told in process.stdout.readline()
    assert process.stdout.readline() == "done\n"
    with store.reading() as tx:
        assert [fact.actor for fact in tx.facts(limit=9)] == ["resumed"]


# -- bounds of waiting --------------------------------------------------------------------------------------


def test_a_lock_that_does_not_come_is_said_and_what_was_written_is_undone(postgres_url: str, opened: Opened) -> None:
    store = opened(postgres_url, bounds=Bounds(lock=SOON))
    schedule = add_schedule(store)

    def wait() -> None:
        with store.transaction() as tx:
            tx.add_fact(a_fact())
            tx.facts(limit=1)
            tx.schedule(schedule.id)

    with store.transaction() as tx:
        tx.schedule(schedule.id)
        with pytest.raises(StoreBusy, match="holds what this one needs"):
            wait()
    with store.reading() as tx:
        assert tx.facts(limit=9) == []


def test_two_that_wait_for_each_other_are_parted(store: PostgresStore, beside: Beside) -> None:
    """Not by our own order of locks; but nobody may hang whatever is asked for."""
    first, second = add_schedule(store, "a"), add_schedule(store, "b")
    others: list[Future[object]] = []

    def crosswise() -> None:
        with store.transaction() as tx:
            tx.schedule(first.id)
            others.append(beside.waits(lambda tx: (tx.schedule(second.id), tx.schedule(first.id))))
            tx.schedule(second.id)

    outcomes = [_refusal(crosswise), _refusal(lambda: others[0].result(timeout=30))]
    assert sorted(outcomes) == [False, True]


def _refusal(body: Callable[[], object]) -> bool:
    try:
        body()
    except StoreBusy:
        return True
    return False


# -- what people are told -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("40001", StoreBusy),
        ("40P01", StoreBusy),
        ("55P03", StoreBusy),
        ("57014", StoreBusy),
        ("53300", StoreBusy),
        ("25P03", StoreBusy),
        ("25006", StoreReadOnly),
        ("42501", StoreReadOnly),
        ("53100", StoreFull),
        ("XX001", StoreCorrupt),
        ("XX002", StoreCorrupt),
        ("42P01", StoreGone),
        ("57P01", StoreUnreachable),
        ("57P02", StoreUnreachable),
        ("57P03", StoreUnreachable),
        ("08006", StoreUnreachable),
        ("22003", StoreError),
        ("23505", StoreError),
    ],
)
def test_what_the_server_says_has_a_meaning_of_ours(state: str, kind: type[StoreError]) -> None:
    error = translated(psycopg.errors.lookup(state)("x"), "postgresql://here/db")
    assert type(error) is kind
    assert error.hint
    assert "postgresql://here/db" in error.message


def test_tables_that_were_removed_are_told(store: PostgresStore, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE facts RENAME TO gone")
    try:
        with pytest.raises(StoreGone), store.reading() as tx:
            tx.facts(limit=1)
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER TABLE gone RENAME TO facts")


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("postgresql://someone:{secret}@/nowhere?host={folder}&port={port}", "knows no such user"),
        ("postgresql://postgres:{secret}@/nowhere?host={folder}&port={port}", "there is no database at"),
        ("postgresql://postgres:{secret}@127.0.0.1:1/db", "does not answer"),
        ("postgresql://postgres:{secret}@127.0.0.1:{secret}/db", "cannot be read: its port is no number"),
        ("postgresql://postgres:{secret}@127.0.0.1:99999/db", "cannot be read: its port is no number from"),
        ("postgresql://postgres:{secret}@127.0.0.1/db?sslmode={secret}", "cannot be read: its sslmode is none"),
        ("postgresql://postgres@127.0.0.1/db?connect_timeout={secret}", "cannot be read: its connect_timeout is no"),
        ("postgresql://postgres:%{secret}@127.0.0.1/db", "cannot be read$"),
        ("postgresql://postgres:{secret}@[::1/db", "cannot be read"),
        ("postgresql://postgres@/db?password={secret}&nonsense=1", "cannot be read: .* no parameter nonsense"),
        ("postgresql://postgres:{secret}@db..example/db", "cannot be read: its host is no name"),
        ("postgresql://postgres:{secret}@/db?service=none", 'named by a service .*: definition of service "none"'),
        (
            "postgresql://postgres:{secret}@/postgres?host={folder}&port={port}&options=-cwords%3D{secret}",
            "setting .*words",
        ),
        (
            "postgresql://postgres:{secret}@/postgres?host={folder}&port={port}&options=-ctimezone%3D{secret}",
            "(?i)timezone",
        ),
        ("postgresql://postgres:{secret}@/postgres?host={folder}&port={port}&options=-c{secret}", "not take a setting"),
        ("postgresql://postgres:{secret}@/db?host={folder}&port={port}&require_auth=md5", "does not prove itself"),
        ("postgresql://postgres:{secret}@/db?host={folder}&port={port}&channel_binding=require", "not prove itself"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_without_its_password(
    postgres: PostgresServer, address: str, match: str, opened: Opened
) -> None:
    url = address.format(secret=SECRET, folder=postgres.folder, port=postgres.port)
    with pytest.raises(StoreError, match=match) as caught:
        opened(url)
    error: BaseException | None = caught.value
    assert caught.value.hint
    assert isinstance(error, StoreUnreachable) == ("127.0.0.1:1/" in address), "waiting mends nothing else"
    while error is not None:
        assert SECRET not in f"{error} {getattr(error, 'hint', '')}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_wrong_password_is_told_without_it() -> None:
    said = 'connection failed: FATAL:  password authentication failed for user "app"'
    error = not_connected(psycopg.OperationalError(said), "postgresql://app@db/x")
    assert "does not let us in" in error.message
    assert "PGPASSWORD" in str(error.hint)
    busy = not_connected(psycopg.OperationalError("FATAL:  sorry, too many clients already"), "here")
    assert isinstance(busy, StoreBusy)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ('FATAL:  role "app" is not permitted to log in', r'does not let us in: role "app" is not'),
        ('FATAL:  permission denied for database "x"', "does not let us in: permission denied for database"),
        ('syntax error in service file "/etc/pg.conf", line 2', "cannot be read: syntax error in service file"),
    ],
)
def test_what_waiting_does_not_mend_is_said_to_be_mended(said: str, match: str) -> None:
    error = not_connected(psycopg.OperationalError(f"connection failed: {said}"), "postgresql://app@db/x")
    assert type(error) is StoreError
    assert re.search(match, error.message)
    assert error.hint


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:x@h1,h2:6000/db", "postgresql://me@h1,h2:6000/db"),
        ("postgresql://me@h1:5,h2:6/db", "postgresql://me@h1:5,h2:6/db"),
        ("postgresql:///db?host=/run/pg&port=7", "postgresql:///db?host=/run/pg&port=7"),
        ("postgresql://h/", "postgresql://h/"),
    ],
)
def test_a_location_can_be_typed_back(url: str, shown: str) -> None:
    assert _location(conninfo_to_dict(url)) == shown


def test_a_user_without_rights_is_told_which_one_is_missing(postgres: PostgresServer, opened: Opened) -> None:
    url = postgres.new_database()
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN")
    with pytest.raises(StoreReadOnly, match="permission denied for schema public") as refused:
        opened(url.replace("postgres@", "guest@"))
    assert "OWNER TO" in str(refused.value.hint)


def test_what_an_administrator_has_set_for_the_database_stands_back(postgres: PostgresServer, opened: Opened) -> None:
    url = postgres.new_database()
    settings = {
        "datestyle": "German, DMY",  # psycopg reads instants as ISO writes them, and no others
        "intervalstyle": "iso_8601",
        "timezone": "Asia/Kathmandu",
        "default_transaction_isolation": "serializable",
        "client_encoding": "LATIN1",
        "idle_session_timeout": "100ms",
        "statement_timeout": "100ms",
        "transaction_timeout": "100ms",
    }
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(connection.info.dbname), sql.Identifier(name), value
                )
            )
    store = opened(url)
    with store.bracket(PostgresTx) as tx:
        before = tx.server_time()
        tx._execute(b"SELECT pg_sleep(0.15)", {})
        assert tx.server_time() > before
    for made in 1, 1:
        with store.reading() as reading:
            assert reading.server_time() > before
        assert store.connections_made == made, "one that was idle is still there"
        with psycopg.connect(postgres.url()) as patient:
            patient.execute("SELECT pg_sleep(0.15)")


def test_a_standby_is_read_and_says_that_it_cannot_be_written(own: PostgresServer, opened: Opened) -> None:
    url = own.new_database()
    opened(url).close()
    mark = own.folder / "data" / "standby.signal"
    own.stop()
    mark.touch()
    own.start()
    try:
        store = opened(url)
        with store.reading() as tx:
            assert tx.counts()
        for _ in "a new connection", "one that is kept":
            with pytest.raises(StoreReadOnly, match="cannot be written"), store.transaction():
                raise AssertionError
            with pytest.raises(StoreReadOnly, match="cannot be written"), store.bracket(PostgresTx) as tx:
                tx.schedule(1)
        assert connections(url) == 0
        store.close()
    finally:
        own.stop()
        mark.unlink()
        own.start()


def test_a_location_shows_no_password(postgres: PostgresServer, opened: Opened) -> None:
    url = postgres.new_database().replace("postgres@", f"postgres:{SECRET}@")
    store = opened(url)
    assert SECRET not in store.location
    assert store.location.startswith("postgresql://postgres@")
    with pytest.raises(StoreError, match="no backups") as caught:
        store.backup("/tmp/x")
    assert "pg_dump" in str(caught.value.hint)
    assert SECRET not in str(caught.value)
    assert store.problems() == []


@pytest.mark.parametrize(
    ("server", "match"),
    [
        ({"version": "140012", "encoding": "UTF8", "schema": "public"}, "is PostgreSQL 14"),
        ({"version": "180000", "encoding": "SQL_ASCII", "schema": "public"}, "not as UTF8"),
        ({"version": "180000", "encoding": "UTF8", "schema": None}, "schema"),
    ],
)
def test_a_server_that_is_not_for_us_is_refused(server: dict[str, str], match: str) -> None:
    with pytest.raises(StoreError, match=match):
        refuse_unfit(server, "here")


def test_a_database_of_other_letters_is_refused(postgres: PostgresServer, opened: Opened) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(StoreError, match="LATIN1"):
        opened(postgres.url("latin"))


def test_commands_of_this_package_know_the_driver_only_when_it_is_needed() -> None:
    code = "import sys, promptyoself.storage.sqlite; sys.exit('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False).returncode == 0


def test_of_several_hosts_each_says_why_it_will_not_do(postgres: PostgresServer) -> None:
    """A failover without a winner: one that only reads, and one that is gone."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN SUPERUSER")
        connection.execute("ALTER ROLE reader SET default_transaction_read_only = on")
    hosts = f"127.0.0.1:{postgres.port},127.0.0.1:1"
    with pytest.raises(StoreUnreachable) as refused:
        PostgresStore.open(
            f"postgresql://reader:hush@{hosts}/postgres?target_session_attrs=read-write", new_uid=lambda: "1" * 32
        )
    assert f"127.0.0.1:{postgres.port}: session is read-only" in refused.value.message
    assert "127.0.0.1:1: Connection refused" in refused.value.message
    assert "hush" not in refused.value.message
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("DROP ROLE reader")
