"""Which peers there are, how each is run, and what it promises for the figure it makes.

Each at the fastest settings that its own documentation describes, for all figures the same ones,
results of jobs not kept where that can be chosen. What the settings cost in safety stands beside.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

ADAPTERS: Final = "benchmarks.peers.adapters"


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    """Its module in adapters/, its folder in .bench/, and what --only takes."""
    name: str
    package: str
    """The distribution whose version is told."""
    worker: tuple[str, ...]
    """The command of one worker process; {bin}, {python}, {url} and {here} are filled in."""
    settings: str
    safety: str
    """What a job goes through if its worker dies, in one line."""
    source: str
    """Where its documentation says so."""
    bulk: str | None = None
    """How it adds many; None: it has no bulk add."""
    share: float = 1.0
    """Of a drain's jobs: less for a slow one, so that none takes minutes."""
    on_node: bool = False


STREAMQ: Final = Peer(
    key="streamq",
    name="streamq",
    package="streamq",
    worker=(
        "{python}", "-m", "streamq", "run", f"{ADAPTERS}.streamq:app", "-q", "peers=100",
        "--redis", "{url}", "--log-level", "WARNING",
    ),
    settings="streamq run, 100 slots, everything else as by default: records, events, history kept",
    safety="at least once; lease renewed while it runs, taken over when the worker is dead",
    source="docs/promises.md",
    bulk="add_many",
)  # fmt: skip
LIMIT: Final = Peer(
    key="limit",
    name="limit",
    package="redis",
    worker=("{python}", "-m", f"{ADAPTERS}.limit"),
    settings="a bare script: XREADGROUP COUNT 100, gather, XACK and XDEL in one pipeline; uvloop",
    safety="none: an entry of a dead worker stays pending, nobody takes it over",
    source="benchmarks/limit.py",
    bulk="pipelines of 1,000 XADD",
)

PEERS: Final[Sequence[Peer]] = (
    Peer(
        key="bullmq",
        name="BullMQ (Node)",
        package="bullmq",
        worker=("node", "{here}/node/bullmq.mjs", "work"),
        settings="concurrency 100, removeOnComplete, ioredis",
        safety="at least once; once stalled (its lock is 30 s) run again, twice stalled failed",
        source="docs.bullmq.io/guide/jobs/stalled",
        bulk="addBulk, 1,000 a call",
        on_node=True,
    ),
    Peer(
        key="bullmq_python",
        name="BullMQ (Python)",
        package="bullmq",
        worker=("{python}", "-m", f"{ADAPTERS}.bullmq_python"),
        settings="concurrency 100, removeOnComplete, hiredis, uvloop",
        safety="at least once; once stalled (its lock is 30 s) run again, twice stalled failed",
        source="docs.bullmq.io/guide/jobs/stalled",
        bulk="addBulk",
        share=0.2,
    ),
    Peer(
        key="arq",
        name="arq",
        package="arq",
        worker=("{bin}/arq", f"{ADAPTERS}.arq.WorkerSettings"),
        settings="max_jobs 100, poll_delay 0.01 s (default 0.5), keep_result 0, hiredis, uvloop",
        safety="at least once; run again once its in-progress key is gone (job_timeout, 300 s)",
        source="arq-docs.helpmanuals.io, Usage: jobs may be called more than once",
        share=0.2,
    ),
    Peer(
        key="streaq",
        name="streaq",
        package="streaq",
        worker=("{bin}/streaq", "run", f"{ADAPTERS}.streaq:worker"),
        settings="concurrency 100, ttl 0, silent, uvloop",
        safety="at least once; XAUTOCLAIM after an idle_timeout of 60 s",
        source="streaq.readthedocs.io, release 5.2.0: pessimistic execution",
        bulk="enqueue_many",
        share=0.2,
    ),
    Peer(
        key="saq",
        name="SAQ",
        package="saq",
        worker=("{bin}/saq", f"{ADAPTERS}.saq.settings"),
        settings="concurrency 100, max_concurrent_ops 100, ttl -1, hiredis, uvloop",
        safety="at most once by default (retries 1): a stuck job is swept and aborted",
        source="saq-py.readthedocs.io, Job.retries; Queue.sweep",
        share=0.2,
    ),
    Peer(
        key="taskiq",
        name="taskiq (streams)",
        package="taskiq",
        worker=(
            "{bin}/taskiq", "worker", f"{ADAPTERS}.taskiq:broker", "--workers", "1",
            "--max-async-tasks", "100", "--ack-type", "when_saved", "--log-level", "WARNING",
        ),
        settings="RedisStreamBroker, 100 at a time, no results, hiredis, uvloop, never trimmed",
        safety="at least once; acknowledged when it has run, XAUTOCLAIM after 10 minutes",
        source="taskiq-redis README, RedisStreamBroker: idle_timeout",
        share=0.2,
    ),
    Peer(
        key="dramatiq",
        name="dramatiq",
        package="dramatiq",
        worker=(
            "{bin}/dramatiq", "--processes", "1", "--threads", "32", f"{ADAPTERS}.dramatiq",
        ),
        settings="RedisBroker, 32 threads (default 8), no results, hiredis",
        safety="at least once; given back when the dead worker's heartbeat is 60 s old",
        source="redis.io/docs/latest/integrate/dramatiq; RedisBroker: heartbeat_timeout",
        share=0.5,
    ),
    Peer(
        key="celery",
        name="Celery",
        package="celery",
        worker=(
            "{bin}/celery", "--app", f"{ADAPTERS}.celery", "worker", "--pool", "solo",
            "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING",
        ),
        settings="solo pool, task_ignore_result, no gossip, mingle or heartbeat, hiredis",
        safety="lost if its worker dies: acknowledged just before it runs (task_acks_late is off)",
        source="docs.celeryq.dev, Glossary: early acknowledgment",
        share=0.1,
    ),
    Peer(
        key="rq",
        name="RQ",
        package="rq",
        worker=(
            "{bin}/rq", "worker", "--url", "{url}", "--worker-class", "rq.worker.SimpleWorker",
            "--logging_level", "WARNING", "--disable-job-desc-logging",
        ),
        settings="SimpleWorker (6 x its default, which forks, say its docs), result_ttl 0, hiredis",
        safety="at most once by default: an abandoned job goes to the failed ones, no retry",
        source="rq docs/benchmark.md; python-rq.org/docs/exceptions",
        bulk="enqueue_many",
        share=0.1,
    ),
    Peer(
        key="huey",
        name="Huey",
        package="huey",
        worker=(
            "{bin}/huey_consumer", f"{ADAPTERS}.huey.huey", "--workers", "4",
            "--worker-type", "thread", "--quiet",
        ),
        settings="RedisHuey, 4 threads, results off, hiredis",
        safety="lost if its worker dies: popped from the list before it runs",
        source="huey.readthedocs.io, Consumer: shutdown; RedisStorage.dequeue",
        share=0.5,
    ),
    Peer(
        key="docket",
        name="docket",
        package="pydocket",
        worker=("{python}", "-m", f"{ADAPTERS}.docket"),
        settings=(
            "concurrency 50 (at 100 its connections run out), minimum_check_interval 10 ms"
            " (default 250), execution_ttl 0, hiredis, uvloop"
        ),
        safety="at least once; taken over after a redelivery_timeout of 5 minutes",
        source="pydocket, Worker: redelivery_timeout",
        bulk="add_many",
        share=0.2,
    ),
)  # fmt: skip
ALL: Final[Sequence[Peer]] = (STREAMQ, LIMIT, *PEERS)
