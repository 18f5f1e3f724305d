"""One worker process of a daemon, from its setup to its end.

Started as `python -m streamq.run.child PIPE DUMP PARENT` by `process.spawn`. Imports the app, runs
its workers (`host`), listens to the daemon (`lifeline`). It ticks and does not beat: the daemon
does. Without a daemon it beats for itself, takes nothing new, and ends.
"""

import asyncio
import ctypes
import faulthandler
import importlib.util
import logging
import os
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from streamq import sentry
from streamq.app import App
from streamq.errors import StreamqError, UnknownQueue
from streamq.run.heart import Heart
from streamq.run.host import EXIT_ABANDONED, HAND_BACK_LIMIT_S, Host
from streamq.run.lifeline import Lifeline, first_command
from streamq.run.loading import load_app
from streamq.run.logs import Logs
from streamq.run.pipe import (
    DUMP_SIGNAL,
    Command,
    Failed,
    Now,
    Pipe,
    Reopen,
    Report,
    Reread,
    Setup,
    Stop,
    child_end,
)
from streamq.settings import LogFormat, Settings, load_settings

SETUP_LIMIT_S: Final = 10.0
ORPHAN_MARGIN_S: Final = HAND_BACK_LIMIT_S + 2.0
"""Beyond the grace time, for a process that nobody else can end any more."""

_PR_SET_PDEATHSIG: Final = 1
_DAEMON_ENDED: Final = signal.SIGHUP
"""Not TERM: together with the end of the pipe that would be the second one, which means "now"."""

log = logging.getLogger("streamq.child")


class Child:
    """The process. `run` is for the main thread; the lifeline's thread calls the rest."""

    def __init__(self, setup: Setup, pipe: Pipe[Command, Report], logs: Logs) -> None:
        self._setup = setup
        self._pipe = pipe
        self._logs = logs
        self._host: Host | None = None
        self._app: App | None = None
        self._settings = Settings()
        # What was said while there was no loop yet; the lock is between it and the lifeline.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._early: deque[Command] = deque()
        self._starting = threading.Lock()

    def run(self) -> int:
        """Lives; the exit code."""
        Lifeline(
            self._pipe,
            lease_ms=self._setup.lease_ms,
            deliver=self._deliver,
            orphaned=self._orphaned,
        ).start()
        try:
            self._app = app = load_app(self._setup.app)
            self._settings = self._read_settings()
            app.configure(self._settings)
            sentry.start(self._settings, app.build)
            queues = self._queues_of(app)
        except StreamqError as error:
            self._pipe.send(Failed(error.exit_code, error.cli_text))
            return error.exit_code
        # Never closed: that would wait for threads which handlers may never end.
        code = asyncio.Runner(loop_factory=_fast_loop()).run(self._live(app, queues))
        sentry.flush()
        return code

    async def _live(self, app: App, queues: dict[str, int]) -> int:
        loop = asyncio.get_running_loop()
        self._host = host = Host(app, self._setup, self._pipe, queues)
        loop.add_signal_handler(signal.SIGTERM, host.on_term)
        loop.add_signal_handler(_DAEMON_ENDED, _nothing)  # from now on the lifeline says so
        with self._starting:
            self._loop = loop
        while self._early:
            self._obey(self._early.popleft())
        return await host.live()

    def _read_settings(self) -> Settings:
        setup = self._setup
        settings = load_settings(
            config_path=None if setup.config_path is None else Path(setup.config_path),
            overrides=setup.overrides,
        )
        return settings if setup.redis is None else settings.with_redis(*setup.redis)

    def _queues_of(self, app: App) -> dict[str, int]:
        """Slots by queue. Raises UnknownQueue, UnknownSetting for a queue's settings, and what
        `Timetable.check` raises."""
        known = app.queue_names()
        self._settings.check_queues(known)
        app.schedules.check()
        chosen = self._setup.queues or dict.fromkeys(known)
        for queue in chosen:
            if queue not in known:
                raise UnknownQueue(queue, app.name, known, "app.declare_queue makes one known")
        return {
            queue: wanted or self._setup.concurrency or app.queue_settings(queue).concurrency
            for queue, wanted in chosen.items()
        }

    def _obey(self, command: Command) -> None:
        assert self._host is not None
        if isinstance(command, Reread):
            self._reread(self._host)
        elif isinstance(command, Reopen):
            self._logs.reopen()
        else:
            self._host.obey(command)

    def _reread(self, host: Host) -> None:
        app, before = self._app, self._settings
        assert app is not None
        try:
            self._settings = self._read_settings().as_at_start(before)
            app.configure(self._settings)
            queues = self._queues_of(app)
        except StreamqError as error:
            log.error("[Settings] kept as they were: %s", error)
            self._settings = before
            app.configure(before)
            return
        host.renew(queues)

    # -- in the lifeline's thread ------------------------------------------------------------

    def _deliver(self, command: Command) -> None:
        with self._starting:
            if self._loop is None:
                if isinstance(command, Stop | Now):
                    os._exit(0)  # still importing: nothing was begun that would have to end
                self._early.append(command)
                return
        self._loop.call_soon_threadsafe(self._obey, command)

    def _orphaned(self, why: str) -> None:
        """Beats from here, now: a handler may hold the loop for longer than the lease."""
        loop, host, setup = self._loop, self._host, self._setup
        if loop is None or host is None or host.address is None or not host.workers:
            os._exit(0)
        log.warning("[Worker] %s: no more jobs are taken, and it ends", why)
        Heart(
            host.address,
            host.prefix,
            host.workers,
            host.keeps,
            lease_ms=setup.lease_ms,
            loop=loop,
            tell_outage=False,
        ).start()
        loop.call_soon_threadsafe(host.stop, setup.grace_ms)
        # The kernel lets no thread in while a handler holds the interpreter's lock for ever: such a
        # process stays, until somebody kills it; nobody beats for it, and others have its jobs.
        end = threading.Timer(
            setup.grace_ms / 1000 + ORPHAN_MARGIN_S, os._exit, args=(EXIT_ABANDONED,)
        )
        end.daemon = True
        end.start()


def _nothing() -> None:
    """What a signal does that must only not end the process."""


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def _end_with(parent: int) -> None:
    """Has the kernel end this process when the daemon ends, as long as it only starts."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _DAEMON_ENDED, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)  # it ended before that was set


def main(pipe_fd: int, dump_fd: int, parent: int) -> int:
    """The whole life of a child; the exit code."""
    _end_with(parent)
    # A handler, not SIG_IGN, which programs that handlers start would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    for fd in (pipe_fd, dump_fd):
        os.set_inheritable(fd, False)
    faulthandler.enable(dump_fd)
    faulthandler.register(DUMP_SIGNAL, dump_fd, all_threads=True)
    pipe = child_end(socket.socket(fileno=pipe_fd))
    setup = first_command(pipe, SETUP_LIMIT_S)
    if not isinstance(setup, Setup):
        return 1
    with Logs(setup.log_level, LogFormat(setup.log_format), folder=setup.log_dir) as logs:
        return Child(setup, pipe, logs).run()


if __name__ == "__main__":
    # Not sys.exit: threads of handlers that never end must not hold the process.
    os._exit(main(*(int(word) for word in sys.argv[1:4])))
