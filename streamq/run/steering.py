"""What an operator does to a running daemon, short of ending it: by a signal, or through Redis.

Quiet, dump, debug logging, concurrency, settings re-read; and words to single workers.
"""

import logging
from collections.abc import Callable

from streamq.control import Order, Word, read_order
from streamq.errors import ConfigError
from streamq.run.crew import Crew
from streamq.run.logs import Logs, set_level
from streamq.run.pipe import DUMP_SIGNAL, Dump, LogLevel, Quiet, Reopen, Reread, Resize, Stop
from streamq.run.process import ChildProcess
from streamq.run.stacks import stacks_of_loop
from streamq.settings import Settings, held_back
from streamq.store.channel import Channel

log = logging.getLogger("streamq.daemon")


class Steering:
    """See the module. `reread` gives the settings as they stand now, or raises ConfigError."""

    def __init__(
        self, crew: Crew, logs: Logs, settings: Settings, reread: Callable[[], Settings], *, id: str
    ) -> None:
        self._crew = crew
        self._logs = logs
        self._reread = reread
        self._id = id
        self.settings = settings
        self.is_quiet = False
        self._resized = 0

    def greet(self, child: ChildProcess) -> None:
        """A child came later: what holds for the others holds for it."""
        if self.is_quiet:
            child.send(Quiet())
        if self._resized:
            child.send(Resize(self._resized))

    # -- signals -----------------------------------------------------------------------------

    def quiet(self) -> None:
        """No new jobs; what runs goes on, and so does the daemon."""
        log.info("[Daemon] quiet: no new jobs are taken", extra={"event": "worker.quiet"})
        self.is_quiet = True
        self._crew.send(Quiet())

    def dump(self) -> None:
        """The stacks of everybody to the log."""
        log.warning("[Daemon] tasks:\n%s", stacks_of_loop(), extra={"event": "worker.dump"})
        for child in self._crew:
            _dump(child)

    def toggle_debug(self) -> None:
        level = self._logs.toggle_debug()
        log.warning("[Daemon] the log level is %s", level)
        self._crew.send(LogLevel(level))

    def resize(self, by: int) -> None:
        """Concurrency up or down, for each queue of each process."""
        self._resized += by
        log.info("[Daemon] concurrency %+d (%+d in all)", by, self._resized)
        self._crew.send(Resize(self._resized))

    def read_again(self) -> None:
        """The settings, as files and variables have them now; invalid ones change nothing.

        And the log goes to the file that has its name now.
        """
        self._logs.reopen()
        self._crew.send(Reopen())
        try:
            fresh = self._reread()
        except ConfigError as error:
            log.error("[Settings] kept as they were: %s", error)
            return
        before, self.settings = self.settings, fresh.as_at_start(self.settings)
        set_level(fresh.log_level)
        self._crew.send(LogLevel(fresh.log_level))
        self._crew.send(Reread())
        log.info("[Settings] read again")
        if later := held_back(before, fresh):
            log.warning("[Settings] from the next start only: %s", ", ".join(later))

    # -- through Redis -----------------------------------------------------------------------

    async def listen(self, channel: Channel) -> None:
        """Obeys what operators publish."""
        async for message in channel.listen():
            order = read_order(message.data)
            if order is not None:
                self._obey(order)

    def _obey(self, order: Order) -> None:
        if order.worker == self._id and order.word in (Word.QUIET, Word.RESUME):
            self.is_quiet = order.word is Word.QUIET  # successors, too
        for child in list(self._crew):
            if order.worker == self._id:
                self._do(order.word, child, "")
                continue
            named = child.ready.named if child.ready else {}
            for queue, lanes in child.workers.items():
                if order.worker in (named.get(queue), *lanes):
                    self._do(order.word, child, queue)

    def _do(self, word: Word, child: ChildProcess, queue: str) -> None:
        log.info(
            "[Daemon] %s, as an operator said: %s of process %d", word,
            f"queue '{queue}'" if queue else "all queues", child.pid,
        )  # fmt: skip
        match word:
            case Word.QUIET | Word.RESUME:
                child.send(Quiet(queue, on=word is Word.QUIET))
            case Word.DUMP:
                _dump(child)
            case Word.STOP:
                last = not queue or set(child.workers) == {queue}
                if last:
                    self._crew.close_seat(child)
                child.send(Stop(self.settings.grace_ms, "" if last else queue))


def _dump(child: ChildProcess) -> None:
    """Tasks and slots as its loop knows them; and the threads, which needs no loop that turns."""
    child.send(Dump())
    child.signal(DUMP_SIGNAL)
