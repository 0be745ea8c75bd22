#!/usr/bin/env python3
"""seata_client.py TC [DATABASE]: the Python client of Seata against a coordinator at TC; with a MariaDB at DATABASE (HOST:PORT, user
root without a password, databases seata_a and seata_b) also automatic transactions over both. TC is HOST:PORT.

Prints "ok NAME" or "WRONG NAME: why"; exit 1 if one is wrong.
"""
import os
import sys
import tempfile
import threading
import time

from loguru import logger

logger.remove()
if os.getenv("LOG_LEVEL"):
    logger.add(sys.stderr, level=os.environ["LOG_LEVEL"])
tc, database = sys.argv[1], (sys.argv[2:] or [None])[0]

CONFIG = f"""
application-id: python-bank
tx-service-group: python_group
config: {{type: file}}
registry: {{type: file}}
client:
  rm:
    report-success-enable: false
    lock: {{retry-interval: 0.01, retry-times: 3, retry-policy-branch-rollback-on-conflict: true}}
  tm: {{commit-retry-count: 1, rollback-retry-count: 1}}
  undo: {{data-validation: true, log-table: undo_log, only-care-update-columns: true}}
service:
  vgroupMapping: {{python_group: default}}
  grouplist: {{default: "{tc}"}}
"""
with tempfile.NamedTemporaryFile("w", suffix=".yml", delete=False) as file:
    file.write(CONFIG)
os.environ["config.name"] = file.name

# They read the configuration while they are imported.
from seata.boot.GlobalTransactionScanner import GlobalTransactionScanner
from seata.core.context.RootContext import RootContext
from seata.core.model.BranchType import BranchType
from seata.core.model.GlobalStatus import GlobalStatus
from seata.exception.RmTransactionException import RmTransactionException
from seata.rm.DefaultResourceManager import DefaultResourceManager
from seata.tm.api.GlobalTransactionContext import GlobalTransactionContext

GlobalTransactionScanner()
os.unlink(file.name)


def begin(timeout_ms=30_000):
    # `unbind` leaves the last one where it is.
    RootContext.bind(None)
    transaction = GlobalTransactionContext.create_new()
    transaction.begin(timeout_ms, "python")
    return transaction


def until(what, wanted, seconds=15):
    end = time.monotonic() + seconds
    while (got := what()) != wanted:
        assert time.monotonic() < end, f"expected {wanted} but got {got}"
        time.sleep(0.05)


def same(got, wanted):
    assert got == wanted, f"expected {wanted} but got {got}"


def commits():
    transaction = begin()
    same(transaction.get_status(), GlobalStatus.Begin)
    transaction.commit()
    same(transaction.status, GlobalStatus.Committed)
    until(transaction.get_status, GlobalStatus.Finished)


def rolls_back():
    transaction = begin()
    transaction.rollback()
    same(transaction.status, GlobalStatus.Rollbacked)
    until(transaction.get_status, GlobalStatus.Finished)


def ends_by_itself():
    transaction = begin(timeout_ms=1_000)
    until(transaction.get_status, GlobalStatus.Finished)


# Another one in each run: the last one's locks may still be held.
ACCOUNT = time.time_ns()
UNDO_LOG = """CREATE TABLE undo_log (
    branch_id BIGINT NOT NULL, xid VARCHAR(128) NOT NULL, context VARCHAR(128) NOT NULL, rollback_info LONGBLOB NOT NULL,
    log_status INT NOT NULL, log_created DATETIME(6) NOT NULL, log_modified DATETIME(6) NOT NULL, UNIQUE KEY (xid, branch_id))"""


class Database:
    """A database as the application sees it, and as it is."""

    def __init__(self, name):
        import pymysql
        from dbutils.pooled_db import PooledDB
        from seata.rm.datasource.DataSourceProxy import DataSourceProxy

        host, port = database.split(":")
        where = dict(host=host, port=int(port), user="root", password="", database=name)
        self.plain = pymysql.connect(autocommit=True, **where)
        for statement in ("DROP TABLE IF EXISTS undo_log", UNDO_LOG, "DROP TABLE IF EXISTS account",
                          "CREATE TABLE account (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)",
                          f"INSERT INTO account VALUES ({ACCOUNT}, 100)"):
            self.ask(statement)
        self.source = DataSourceProxy(PooledDB(pymysql, maxconnections=4, **where), "mysql")

    def ask(self, statement):
        with self.plain.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def balance(self):
        return self.ask(f"SELECT balance FROM account WHERE id = {ACCOUNT}")[0][0]

    def undo_logs(self, xid):
        return self.ask(f"SELECT COUNT(*) FROM undo_log WHERE xid = '{xid}'")[0][0]

    def add(self, amount):
        """In the transaction that is bound to this thread."""
        connection = self.source.connection()
        connection.cursor().execute("UPDATE account SET balance = balance + %s WHERE id = %s", (amount, ACCOUNT))
        connection.commit()
        connection.close()


def undo_logs(transaction):
    return a.undo_logs(transaction.xid), b.undo_logs(transaction.xid)


def transfer(end):
    transaction = begin()
    a.add(-30)
    b.add(30)
    same((a.balance(), b.balance(), undo_logs(transaction)), (70, 130, (1, 1)))
    end(transaction)
    until(lambda: undo_logs(transaction), (0, 0))
    return transaction


def at_rolls_back():
    transaction = transfer(lambda transaction: transaction.rollback())
    same(transaction.status, GlobalStatus.Rollbacked)
    same((a.balance(), b.balance()), (100, 100))


def at_rolls_back_after_its_time():
    transaction = begin(timeout_ms=1_500)
    a.add(-30)
    b.add(30)
    until(transaction.get_status, GlobalStatus.Finished)
    same((a.balance(), b.balance(), undo_logs(transaction)), (100, 100, (0, 0)))


def at_second_writer_is_refused():
    # Through the resource manager itself: a connection's commit ignores that it is refused, which is a bug of this client's.
    first = begin()
    a.add(-30)
    answers = []

    def second():
        transaction = begin()
        manager, row = DefaultResourceManager.get(), f"account:{ACCOUNT}"
        resource = a.source.get_resource_id()
        answers.append(manager.lock_query(BranchType.AT, resource, transaction.xid, row))
        try:
            answers.append(manager.branch_register(BranchType.AT, resource, None, transaction.xid, None, row))
        except RmTransactionException as error:
            answers.append("LockKeyConflict" in str(error.code))
        transaction.rollback()

    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
    same(answers, [False, True])
    first.rollback()
    until(lambda: (a.balance(), undo_logs(first)), (100, (0, 0)))


def at_commits():
    transaction = transfer(lambda transaction: transaction.commit())
    same(transaction.status, GlobalStatus.Committed)
    same((a.balance(), b.balance()), (70, 130))


steps = [commits, rolls_back, ends_by_itself]
if database:
    a, b = Database("seata_a"), Database("seata_b")
    steps += [at_rolls_back, at_rolls_back_after_its_time, at_second_writer_is_refused, at_commits]
wrong = 0
for step in steps:
    try:
        step()
        print(f"ok {step.__name__}", flush=True)
    except Exception as error:
        wrong += 1
        print(f"WRONG {step.__name__}: {type(error).__name__} {error}", flush=True)
# Its threads never end.
os._exit(min(wrong, 1))
