"""Every knob, with its unit, its default and the reason. What nobody turns is a constant elsewhere.

The name in files and variables is the field's, less its unit (`lease_ms` is `lease = "30s"`); see
reading.py.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from streamq.backoff import Backoff, Exponential
from streamq.durations import Ms
from streamq.errors import UnknownSetting
from streamq.lookup import REDIS_DEFAULT
from streamq.schedule import Misfire, Overlap
from streamq.settings.origins import Origins

_DAY_MS: Final = 86_400_000


class Env(StrEnum):
    """Where this runs.

    Production refuses to start on what development forgives (an unset secret).
    """

    DEV = "dev"
    TEST = "test"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


class Keep(msgspec.Struct, frozen=True):
    """What retention leaves: both limits hold, None is no limit. `count` 0 keeps nothing."""

    age_ms: Ms | None = None
    count: int | None = None


KEEP_NOTHING: Final = Keep(count=0)


class Rate(msgspec.Struct, frozen=True):
    """At most `count` starts in any window of `per_ms`, in the whole fleet."""

    count: int
    per_ms: Ms


class JobDefaults(msgspec.Struct, frozen=True):
    """What holds for a queue and its jobs, all layers merged. The defaults are of last resort."""

    concurrency: int = 10
    """Jobs at a time in one worker process: right for handlers that wait on a network."""
    attempts: int = 3
    """The first try included."""
    backoff: Backoff = Exponential(5_000)
    """5 s, 10 s, 20 s ... without jitter, so that a run can be foretold."""
    timeout_ms: Ms | None = None
    """For one attempt; None: no end. A job may run for hours, its lease is renewed."""
    priority: int = 3
    """1 is first, 10 last."""
    payload_limit_bytes: int = 256 * 1024
    """A batch of 100 claims of this size already costs Redis 0.7 s: pass a key, not the thing."""
    keep_completed: Keep = Keep(Ms(_DAY_MS), 1_000)
    keep_failed: Keep = Keep(Ms(7 * _DAY_MS))
    keep_parked: Keep = Keep(Ms(30 * _DAY_MS), 10_000)
    """Then failed with its reason: a handler that has not come in a month will not come."""
    max_active: int | None = None
    """Jobs at a time in the whole fleet."""
    rate: Rate | None = None


class QueueSettings(msgspec.Struct, frozen=True):
    """One layer of `JobDefaults`: what somebody said for a queue.

    UNSET: not said here; None: "no limit" was said.
    """

    concurrency: int | UnsetType = UNSET
    attempts: int | UnsetType = UNSET
    backoff: Backoff | UnsetType = UNSET
    timeout_ms: Ms | UnsetType | None = UNSET
    priority: int | UnsetType = UNSET
    payload_limit_bytes: int | UnsetType = UNSET
    keep_completed: Keep | UnsetType = UNSET
    keep_failed: Keep | UnsetType = UNSET
    keep_parked: Keep | UnsetType = UNSET
    max_active: int | UnsetType | None = UNSET
    rate: Rate | UnsetType | None = UNSET


NOTHING_SAID: Final = QueueSettings()


class ScheduleSettings(msgspec.Struct, frozen=True):
    """What a file says of a schedule: of one in the code, or of a new one. UNSET: not said."""

    queue: str | UnsetType = UNSET
    job: str | UnsetType = UNSET
    cron: str | UnsetType = UNSET
    every_ms: Ms | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    data: bytes | UnsetType = UNSET
    """The payload, as msgpack."""
    misfire: Misfire | UnsetType = UNSET
    overlap: Overlap | UnsetType = UNSET
    spread_ms: Ms | UnsetType = UNSET


def overlaid(base: JobDefaults, *layers: QueueSettings) -> JobDefaults:
    """`base`, with what each layer says in its place; a later layer wins."""
    said = {
        field: value
        for layer in layers
        for field in QueueSettings.__struct_fields__
        if (value := getattr(layer, field)) is not UNSET
    }
    return msgspec.structs.replace(base, **said) if said else base


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one process, merged and checked.

    `origins` says where each value came from.
    """

    app: str | None = None
    """`module:attribute` of the App."""
    redis: str = REDIS_DEFAULT
    """May hold a password: print `masked_url` of it."""
    redis_tls: bool = False
    """Makes `redis://` mean `rediss://`; already applied to `redis`."""
    prefix: str = "streamq"
    """Of every key."""
    env: Env = Env.DEV
    timezone: str = "UTC"
    """Of schedules that name none."""
    lease_ms: Ms = Ms(30_000)
    """A worker silent this long is declared dead, and its jobs run again.

    Longer: they wait longer. Shorter: a pause of the machine looks like a death.
    """
    grace_ms: Ms = Ms(30_000)
    """Wait for running handlers at a stop.

    Keep it 5 s below Kubernetes' terminationGracePeriodSeconds.
    """
    hung_ms: Ms = Ms(60_000)
    """A process with no tick of its loop and no CPU time for this long is dumped and killed."""
    processes: int = 1
    max_jobs: int | None = None
    """Jobs after which a worker process is replaced (against leaks)."""
    max_rss_bytes: int | None = None
    """Resident memory above which a worker process is replaced."""
    log_level: str = "INFO"
    log_format: LogFormat = LogFormat.CONSOLE
    log_dir: str | None = None
    """A folder: `streamq.log` there takes all lines, and stderr errors alone. HUP opens it anew."""
    health_port: int | None = None
    """Off unless asked for; the daemon listens, on loopback."""
    metrics_port: int | None = None
    """Of its own, for /metrics; they stand on the health port as well."""
    sentry_dsn: str | None = None
    """Failed attempts are reported there. Print `masked_url` of it."""
    sentry_traces: float = 0.1
    """Share of jobs whose trace is sent, 0 to 1: errors are always sent, whatever this is."""
    dev_beside: str | None = None
    """`module:function` of the servers that an app brings to `streamq dev`: `brought.Beside`."""
    dev_url_variable: str | None = None
    """The variable that tells the app of `streamq dev` where its web is, unless it is set."""
    web_links: str | None = None
    """`module:function` of the links that `streamq web` opens for an app: `brought.Links`."""
    defaults: JobDefaults = JobDefaults()
    queues: Mapping[str, QueueSettings] = {}
    """Of queues named in a file or on the command line, variables for them included."""
    queues_by_variable: Mapping[str, QueueSettings] = {}
    """Of `STREAMQ_QUEUES__<NAME>__...`, by that spelling: no variable can hold a `-`."""
    schedules: Mapping[str, ScheduleSettings] = {}
    """Of schedules named in a file; they win over the code."""
    origins: Origins = Origins({})

    @property
    def beat_ms(self) -> Ms:
        """Between two heartbeats: two may be lost before a lease is in doubt."""
        return Ms(self.lease_ms // 3)

    def as_at_start(self, start: "Settings") -> "Settings":
        """The same, re-read by a process that runs: what it cannot change is as at its start."""
        kept = {field: getattr(start, field) for field in AT_START}
        return msgspec.structs.replace(self, **kept)

    def with_redis(self, url: str, origin: str) -> "Settings":
        """The same with another Redis: the server of `streamq dev`, or one just started."""
        origins = Origins({**self.origins.by_key, "redis": origin})
        return msgspec.structs.replace(self, redis=url, origins=origins)

    def for_queue(self, queue: str, declared: QueueSettings = NOTHING_SAID) -> JobDefaults:
        """What holds for a queue: defaults < `declared` in code < files < variables < options."""
        said = self.queues.get(queue)
        if said is None:
            said = self.queues_by_variable.get(spelled_as_variable(queue), NOTHING_SAID)
        return overlaid(self.defaults, declared, said)

    def check_queues(self, known: Iterable[str]) -> None:
        """Raises `UnknownSetting` if settings were made for a queue that the app does not have."""
        names = sorted(known)
        spellings = sorted(map(spelled_as_variable, names))
        for queues, allowed in ((self.queues, names), (self.queues_by_variable, spellings)):
            for queue in queues:
                if queue not in allowed:
                    origin = self.origins.of(f"queues.{queue}")
                    raise UnknownSetting(queue, origin, allowed, table="queues")


AT_START: Final = (
    "app", "redis", "redis_tls", "prefix", "env", "lease_ms", "processes", "log_format", "log_dir",
    "health_port", "metrics_port", "sentry_dsn", "sentry_traces",
)  # fmt: skip
"""Fields that hold from the start of a daemon to its end, whatever files say meanwhile."""


def spelled_as_variable(queue: str) -> str:
    """A queue's name as the environment can spell it: `payment-reminder` is `PAYMENT_REMINDER`."""
    return re.sub(r"[^A-Z0-9]", "_", queue.upper())
