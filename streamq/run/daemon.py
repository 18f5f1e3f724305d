"""The daemon behind `streamq run`: starts worker processes, beats for them, watches and ends them.

It never imports the application: what a handler does to its process cannot reach it. Its phases:
start, until a child said where Redis is; keep, until something says that it is over; end, in order
or at once.
"""

import asyncio
import logging
import secrets
import signal
import sys
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Final

import msgspec

from streamq import sentry
from streamq.errors import EvictingPolicy, RedisUnavailable, StoreError, StreamqError
from streamq.run.burials import Burials
from streamq.run.burst import EXIT_JOB_FAILED, failures, nothing_left
from streamq.run.crew import Crew
from streamq.run.folders import keep_swept
from streamq.run.health import Answers, HealthPort
from streamq.run.logs import Logs
from streamq.run.measured import Measured, Pages
from streamq.run.pipe import ChildState, Loaded, Now, Ready, Report, Setup, Stop, Tick
from streamq.run.process import ChildProcess
from streamq.run.rounds import Rounds, until
from streamq.run.standing import answers_of, processes_of
from streamq.run.steering import Steering
from streamq.run.watchman import Watchman
from streamq.settings import Settings, load_settings
from streamq.store import calls, reads
from streamq.store.address import Address
from streamq.store.channel import Channel
from streamq.store.client import Redis
from streamq.store.keys import control_channel

CONNECT_LIMIT_S: Final = 1.5  # at the start: who waits at a terminal is told within two seconds
STOP_MARGIN_S: Final = 8.0  # beyond the grace time, for handing back and for the app's own end
NOW_LIMIT_S: Final = 2.0  # after the second TERM; with the burials it is over within three
KILL_LIMIT_S: Final = 5.0  # for the system to end what was killed
BURIAL_LIMIT_S: Final = 2.0  # for what was killed at the end
BURIAL_NOW_LIMIT_S: Final = 0.5
LOOK_S: Final = 0.05  # at the end, for who is still there
BURST_LOOK_S: Final = 0.2

EXIT_OK: Final = 0
EXIT_ERROR: Final = 1
EXIT_ABANDONED: Final = 6
EXIT_INTERRUPTED: Final = 130

log = logging.getLogger("streamq.daemon")


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What `streamq run` was asked for. Everything else is a setting, and may be in `overrides`."""

    app: str
    """`module:attribute`."""
    queues: Mapping[str, int | None] = {}
    """The queues to work on, with their concurrency where one was named; empty: all of the app."""
    concurrency: int | None = None
    """For queues that name none."""
    burst: bool = False
    """End when the queues are empty."""
    fail: bool = False
    """A burst during which a job failed for good ends with 5."""
    scheduler: bool = True
    """Whether its processes fire the app's schedules, too."""
    label: str = ""
    """For operators, beside the host and the process."""
    config_path: str | None = None
    overrides: Mapping[str, str | int | bool] = {}
    """Settings from the command line, by dotted key, as `load_settings` takes them."""
    redis: tuple[str, str] | None = None
    """Where it was found, and what named the place; None: as the settings say."""

    def settings(self) -> Settings:
        """The settings as they stand now. Raises ConfigError."""
        path = None if self.config_path is None else Path(self.config_path)
        settings = load_settings(config_path=path, overrides=self.overrides)
        return settings if self.redis is None else settings.with_redis(*self.redis)


async def run_daemon(config: DaemonConfig) -> int:
    """Runs until it is told to stop by a signal; the exit code. For the main thread.

    Raises ConfigError for settings that cannot be; all else is logged, and the code says it:
    1 error, 2 settings, 3 Redis, 4 app, 5 a job failed during a burst, 6 jobs abandoned, 130
    interrupted twice.
    """
    settings = config.settings()
    sentry.start(settings)  # a job that ends its process has nobody else to report it
    with Logs(settings.log_level, settings.log_format, folder=settings.log_dir) as logs:
        code = await Daemon(config, settings, logs).run()
    sentry.flush()
    return code


class Daemon:
    """One daemon, from its start to its exit code."""

    def __init__(self, config: DaemonConfig, settings: Settings, logs: Logs) -> None:
        self.id = secrets.token_hex(6)
        self._config = config
        self._crew = Crew(settings.processes, self._setup, self._on_report)
        self._steering = Steering(self._crew, logs, settings, config.settings, id=self.id)
        self._watchman = Watchman(
            self._crew,
            lambda: self._steering.settings,
            daemon=self.id,
            failed_to_start=self._failed_to_start,
            deserted=self._deserted,
        )
        self._redis: Redis | None = None
        self._rounds: Rounds | None = None
        self._pages = Pages()
        self._loops: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        self._loaded: asyncio.Future[Loaded] = loop.create_future()
        self._over: asyncio.Future[int] = loop.create_future()
        """The code to end with, once something says so."""
        self._failed_before = sys.maxsize
        """Jobs that had failed when the first worker began."""
        self._hurry = asyncio.Event()
        self._interrupted = False

    async def run(self) -> int:
        """The whole life; the exit code."""
        self._take_signals()
        ports = self._ports()
        code = EXIT_ERROR
        try:
            for page, port in ports:
                await port.open()
                log.info("[Health] http://127.0.0.1:%d%s", port.port, page)
            if not self._config.scheduler:
                log.info("[Daemon] its processes fire no schedules: others have to")
            self._begin(self._watchman.run())
            self._begin(self._start())
            self._begin(keep_swept())
            code = await self._over
        except StreamqError as error:
            log.error("%s", error.cli_text)
            code = error.exit_code
        # The third of the three places: whatever happened here, the children are ended in order.
        except Exception:
            log.exception("[Daemon] a fault of its own; it ends")
        code = await self._end(code)
        for _, port in ports:
            await port.close()
        await self._pages.close()
        return code

    def _ports(self) -> list[tuple[str, HealthPort]]:
        """Those that were asked for; metrics stand on the health port too."""
        settings = self._steering.settings
        wanted = {"/healthz": settings.health_port, "/metrics": settings.metrics_port}
        if settings.metrics_port and settings.metrics_port == settings.health_port:
            del wanted["/metrics"]
        return [
            (page, HealthPort(port, self._answers, self._pages.by_path))
            for page, port in wanted.items()
            if port is not None
        ]

    # -- start -------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Connects where the app says; then beats, listens, and looks for the end of a burst."""
        loaded = await self._loaded
        address = Address(loaded.redis, loaded.origin)
        redis = self._redis = Redis(address, name=f"streamq-daemon-{self.id}")
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                server = await reads.info(redis)
        except TimeoutError:
            raise RedisUnavailable(address.shown, address.origin, "time-out") from None
        if server.maxmemory_policy.startswith("allkeys-"):
            log.warning("%s", EvictingPolicy(server.maxmemory_policy))
        self._pages.begin(lambda: self._measured(address, loaded.prefix))
        lease_ms = self._steering.settings.lease_ms
        rounds = self._rounds = Rounds(
            self._crew,
            redis,
            loaded.prefix,
            lease_ms=lease_ms,
            duty=self.id,
            hung_s=lambda: self._steering.settings.hung_ms / 1000,
            on_alone=self._start_alone,
        )
        self._watchman.burials = Burials(
            rounds.link, lease_ms=lease_ms, stopping=lambda: self._crew.closed
        )
        for child in self._crew:
            rounds.take(child)
        self._begin(rounds.run())
        control = Channel(address, [control_channel(loaded.prefix)], name="streamq-control")
        self._begin(self._steering.listen(control))
        if self._config.burst:
            self._begin(self._end_when_empty(rounds))

    def _measured(self, address: Address, prefix: str) -> Measured:
        settings, said = self._steering.settings, self._config.queues
        return Measured(
            address,
            prefix,
            slots_of=lambda queue: said.get(queue) or settings.for_queue(queue).concurrency,
            queues=lambda: self._rounds.queues if self._rounds else (),
            processes=lambda: processes_of(self._crew),
            calls=lambda: calls.total([self._crew.calls, calls.own()]),
        )

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        """Runs beside the others; an error in one of them ends the daemon."""
        loop = asyncio.create_task(work)
        self._loops.add(loop)
        loop.add_done_callback(self._loop_ended)

    def _loop_ended(self, loop: "asyncio.Task[None]") -> None:
        self._loops.discard(loop)
        error = None if loop.cancelled() else loop.exception()
        if error is None:
            return
        if self._over.done():
            log.error("[Daemon] while it ends: %s", error)
        else:
            self._over.set_exception(error)

    def _setup(self, alone: str | None) -> Setup:
        config, settings = self._config, self._steering.settings
        return Setup(
            app=config.app,
            daemon=self.id,
            queues=config.queues if alone is None else {alone: 1},
            concurrency=config.concurrency,
            alone=alone is not None,
            counts_failures=config.fail,
            scheduler=config.scheduler,
            label=config.label,
            config_path=config.config_path,
            overrides=config.overrides,
            redis=config.redis,
            lease_ms=settings.lease_ms,
            grace_ms=settings.grace_ms,
            log_level=logging.getLevelName(logging.getLogger().level),
            log_format=settings.log_format.value,
            log_dir=settings.log_dir,
        )

    def _start_alone(self, queue: str) -> None:
        if child := self._crew.start_alone(queue):
            log.warning(
                "[Daemon] process %d started, for suspects of queue '%s'", child.pid, queue,
                extra={"event": "worker.started", "queue": queue},
            )  # fmt: skip

    def _on_report(self, child: ChildProcess, report: Report) -> None:
        match report:
            case Loaded() if not self._loaded.done():
                self._loaded.set_result(report)
            case Ready(failed_before=failed):
                self._failed_before = min(self._failed_before, failed or 0)
                self._steering.greet(child)
                if self._rounds is not None:
                    self._rounds.take(child)
            case Tick(state=ChildState.DRAINING):
                self._watchman.now.set()
            case _:
                pass

    def _failed_to_start(self, child: ChildProcess) -> None:
        """The very first children cannot start: nor could their successors."""
        if not self._over.done():
            self._over.set_result(EXIT_ERROR if child.failed is None else child.failed.code)

    def _deserted(self) -> None:
        """Operators ended every child, one by one: there is nothing to keep any more."""
        if not self._over.done():
            self._over.set_result(EXIT_OK)

    # -- keep --------------------------------------------------------------------------------

    def _take_signals(self) -> None:
        steering = self._steering
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._on_stop, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGINT, self._on_stop, signal.SIGINT)
        loop.add_signal_handler(signal.SIGCHLD, self._watchman.now.set)
        loop.add_signal_handler(signal.SIGTSTP, steering.quiet)
        loop.add_signal_handler(signal.SIGUSR1, steering.dump)
        loop.add_signal_handler(signal.SIGUSR2, steering.toggle_debug)
        loop.add_signal_handler(signal.SIGHUP, steering.read_again)
        loop.add_signal_handler(signal.SIGTTIN, steering.resize, 1)
        loop.add_signal_handler(signal.SIGTTOU, steering.resize, -1)

    def _on_stop(self, number: signal.Signals) -> None:
        if not self._over.done():
            log.info(
                "[Daemon] %s: no more jobs are taken; those that run have %.0f s", number.name,
                self._steering.settings.grace_ms / 1000, extra={"event": "worker.draining"},
            )  # fmt: skip
            self._over.set_result(EXIT_OK)
        elif not self._hurry.is_set():
            log.info("[Daemon] %s again: now", number.name)
            self._interrupted = number is signal.SIGINT
            self._hurry.set()

    async def _end_when_empty(self, rounds: Rounds) -> None:
        """Ends a burst: once nobody is busy and the queues say so, twice in a row.

        Twice, since the keys of a queue are not read in one instant.
        """
        empty = failed = 0
        while empty < 2:
            await asyncio.sleep(BURST_LOOK_S)
            ready = [c for c in self._crew.seated if c.tick.turned_ms is not None]
            busy = sum(child.tick.busy for child in self._crew)
            if not ready or len(ready) < len(self._crew.seats) or busy:
                empty = 0
                continue
            try:
                queues = [rounds.link(queue) for queue in rounds.queues]
                done = await nothing_left(queues)
                failed = await failures(queues) - self._failed_before if self._config.fail else 0
            except StoreError:
                done = False  # away: the beats say so
            empty = empty + 1 if done else 0
        if not self._over.done():
            log.info("[Daemon] the queues are empty: the burst is over")
            if failed:
                log.error("[Daemon] jobs that failed during the burst: %d", failed)
            self._over.set_result(EXIT_JOB_FAILED if failed else EXIT_OK)

    def _answers(self) -> Answers:
        return answers_of(
            self._crew,
            self._rounds,
            draining=self._over.done(),
            quiet=self._steering.is_quiet,
        )

    # -- end ---------------------------------------------------------------------------------

    async def _end(self, code: int) -> int:
        """Ends the children, in order or at once, and says what became of the jobs."""
        if not self._over.done():
            self._over.set_result(code)
        self._crew.closed = True
        settings = self._steering.settings
        self._crew.send(Stop(settings.grace_ms))
        if not await self._gone(settings.grace_ms / 1000 + STOP_MARGIN_S, unless=self._hurry):
            if self._hurry.is_set():
                self._crew.send(Now())
                await self._gone(NOW_LIMIT_S)
            for child in self._crew:
                log.error("[Daemon] process %d does not end and is killed", child.pid)
                child.signal(signal.SIGKILL)
            await self._gone(KILL_LIMIT_S)
        if await self._abandoned():
            log.error(
                "[Daemon] jobs were abandoned: they run again", extra={"event": "worker.ended"}
            )
            code = code or EXIT_ABANDONED
        await self._close()
        log.info("[Daemon] ended", extra={"event": "worker.ended"})
        return EXIT_INTERRUPTED if self._interrupted else code

    async def _abandoned(self) -> bool:
        """Whether jobs were left that no child handed back by itself; they are given back here."""
        burials = self._watchman.burials
        if burials is None:
            return False
        limit_s = BURIAL_NOW_LIMIT_S if self._hurry.is_set() else BURIAL_LIMIT_S
        return not await burials.settle(limit_s) or burials.jobs_at_end > 0

    async def _gone(self, limit_s: float, unless: asyncio.Event | None = None) -> bool:
        """Waits until no child is left; False after the limit, or when `unless` is set before."""
        deadline = time.monotonic() + limit_s
        while True:
            self._watchman.look()
            if not any(True for _ in self._crew):
                return True
            if time.monotonic() >= deadline or (unless is not None and unless.is_set()):
                return False
            await until(self._watchman.now, LOOK_S)

    async def _close(self) -> None:
        for loop in list(self._loops):
            loop.cancel()
        if self._loops:
            await asyncio.wait(self._loops)
        if self._rounds is not None:
            await self._rounds.close()
        if self._redis is not None:
            await self._redis.close()
