"""The table of verbs: what stands where. Nothing of a verb is imported before it is called."""

from importlib import import_module
from typing import Final, NamedTuple

from streamq.cli.spec import Command
from streamq.errors import ConfigError
from streamq.suggest import nearest

ENTRY_POINTS: Final = "streamq.verbs"
"""The group by which other packages add verbs."""


class Row(NamedTuple):
    """One verb: its line in `streamq --help`, and where its `Command` stands."""

    says: str
    command: str
    """`module:NAME` below streamq.cli."""


class Group(NamedTuple):
    title: str
    rows: dict[str, Row]


VERBS: Final = (
    Group(
        "run",
        {
            "run": Row("start worker processes for the queues of an app", "run:RUN"),
            "dev": Row("a Redis of its own, workers, and what they say, in one command", "dev:DEV"),
            "add": Row("add a job, or many from a file or standard input", "add:ADD"),
        },
    ),
    Group(
        "look",
        {
            "queues": Row(
                "every queue: what waits, runs, failed, and who works on it", "queues:QUEUES"
            ),
            "workers": Row("every worker; quiet, stop or dump one", "workers:WORKERS"),
            "jobs": Row("the jobs of a queue in one state", "jobs:JOBS"),
            "job": Row("one job: state, payload, attempts, errors, result", "job:JOB"),
            "logs": Row("what a job has logged; -f follows", "logs:LOGS"),
            "events": Row("what happens, as it happens; -f follows", "events:EVENTS"),
            "top": Row("a live view of queues and workers", "top:TOP"),
            "schedule": Row(
                "what recurs: next fires; run now, pause, backfill", "schedule:SCHEDULE"
            ),
        },
    ),
    Group(
        "change jobs",
        {
            "retry": Row("failed jobs run again, with fresh attempts", "retry:RETRY"),
            "cancel": Row("jobs shall not run, or not go on running", "cancel:CANCEL"),
            "promote": Row("delayed jobs wait no longer", "promote:PROMOTE"),
            "rm": Row("remove jobs and all that is kept of them", "rm:RM"),
        },
    ),
    Group(
        "change queues",
        {
            "pause": Row("no job of a queue is started; running ones finish", "pause:PAUSE"),
            "resume": Row("take up a paused queue again", "pause:RESUME"),
            "limit": Row(
                "jobs at a time, and starts in a time, for the whole fleet", "limit:LIMIT"
            ),
            "clean": Row("remove ended jobs older than an age", "clean:CLEAN"),
            "drain": Row("remove every job that did not start", "drain:DRAIN"),
        },
    ),
    Group(
        "look after it",
        {
            "doctor": Row(
                "check Redis, settings, app and data, and say what to do", "doctor:DOCTOR"
            ),
            "exporter": Row("metrics for Prometheus, on a port", "exporter:EXPORTER"),
            "health": Row("is it well? For probes: exit code 0 or 1", "health:HEALTH"),
            "acl": Row("the rules of Redis's ACL for each kind of process", "acl:ACL"),
            "config": Row("every setting, its value and who set it", "config:CONFIG"),
            "version": Row("the version; -v: of all that it stands on", "version:VERSION"),
        },
    ),
)


def find(verb: str) -> Command:
    """The verb's command. Raises `UnknownVerb`."""
    for group in VERBS:
        if verb in group.rows:
            module, _, name = group.rows[verb].command.partition(":")
            command = getattr(import_module(f"streamq.cli.{module}"), name)
            assert isinstance(command, Command)
            return command
    return _of_other_packages(verb)


def names() -> list[str]:
    return [verb for group in VERBS for verb in group.rows]


def others() -> list[str]:
    """The verbs that other installed packages add, sorted."""
    from importlib.metadata import entry_points

    return sorted({found.name for found in entry_points(group=ENTRY_POINTS)} - {*names()})


class UnknownVerb(ConfigError):
    def __init__(self, verb: str, known: list[str]) -> None:
        self.verb = verb
        meant = nearest(verb, known)
        hint = f" Did you mean {meant}?" if meant else ""
        super().__init__(f"streamq: no verb {verb!r}.{hint} All of them:  streamq --help")


def _of_other_packages(verb: str) -> Command:
    from importlib.metadata import entry_points

    for found in entry_points(group=ENTRY_POINTS, name=verb):
        command = found.load()
        if not isinstance(command, Command):
            raise ConfigError(f"The verb {verb} of {found.value} is no streamq.cli.spec.Command.")
        return command
    raise UnknownVerb(verb, [*names(), *others()])
