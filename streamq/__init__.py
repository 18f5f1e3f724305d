"""streamq: background jobs on Redis Streams. The public names, each imported when first used.

app = App("shop")

class Welcome(Payload):
    to: str

@app.job("email", attempts=3, timeout="30s")
async def welcome(data: Welcome, job: Context) -> str: ...

await welcome.add(Welcome(to="ana@example.com"), delay="1m")
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamq.added import Added as Added
    from streamq.adding import NewJob as NewJob
    from streamq.app import App as App
    from streamq.backoff import Backoff as Backoff
    from streamq.backoff import calling as calling
    from streamq.backoff import exponential as exponential
    from streamq.backoff import fixed as fixed
    from streamq.backoff import linear as linear
    from streamq.backoff import steps as steps
    from streamq.control import Word as Word
    from streamq.declaring import keep as keep
    from streamq.errors import JobFailed as JobFailed
    from streamq.errors import ResultTimeout as ResultTimeout
    from streamq.errors import StreamqError as StreamqError
    from streamq.events import Transition as Transition
    from streamq.fleet import WorkerView as WorkerView
    from streamq.handle import Handle as Handle
    from streamq.job import Counts as Counts
    from streamq.job import Job as Job
    from streamq.job import JobState as JobState
    from streamq.operate import Bulk as Bulk
    from streamq.operate import Effect as Effect
    from streamq.payload import Payload as Payload
    from streamq.port import Port as Port
    from streamq.queue import Queue as Queue
    from streamq.redact import Secret as Secret
    from streamq.run.context import Context as Context
    from streamq.settings import Settings as Settings
    from streamq.settings import load_settings as load_settings
    from streamq.store.pages import Page as Page
    from streamq.store.reads import Ended as Ended
    from streamq.store.reads import QueueState as QueueState
    from streamq.store.reads import ServerInfo as ServerInfo
    from streamq.verdicts import Fail as Fail
    from streamq.verdicts import Retry as Retry
    from streamq.verdicts import Snooze as Snooze

# Nothing is imported before it is asked for (PEP 562): `streamq health` starts in the time of a
# bare interpreter, and a web process that only adds does not load the worker.
_HOMES = {
    "Added": "added",
    "App": "app",
    "Backoff": "backoff",
    "Bulk": "operate",
    "Context": "run.context",
    "Counts": "job",
    "Effect": "operate",
    "Ended": "store.reads",
    "Fail": "verdicts",
    "Handle": "handle",
    "Job": "job",
    "JobFailed": "errors",
    "JobState": "job",
    "NewJob": "adding",
    "Page": "store.pages",
    "Payload": "payload",
    "Port": "port",
    "Queue": "queue",
    "QueueState": "store.reads",
    "ResultTimeout": "errors",
    "Retry": "verdicts",
    "Secret": "redact",
    "ServerInfo": "store.reads",
    "Settings": "settings",
    "Snooze": "verdicts",
    "StreamqError": "errors",
    "Transition": "events",
    "Word": "control",
    "WorkerView": "fleet",
    "calling": "backoff",
    "exponential": "backoff",
    "fixed": "backoff",
    "keep": "declaring",
    "linear": "backoff",
    "load_settings": "settings",
    "steps": "backoff",
}

__all__ = [
    "Added",
    "App",
    "Backoff",
    "Bulk",
    "Context",
    "Counts",
    "Effect",
    "Ended",
    "Fail",
    "Handle",
    "Job",
    "JobFailed",
    "JobState",
    "NewJob",
    "Page",
    "Payload",
    "Port",
    "Queue",
    "QueueState",
    "ResultTimeout",
    "Retry",
    "Secret",
    "ServerInfo",
    "Settings",
    "Snooze",
    "StreamqError",
    "Transition",
    "Word",
    "WorkerView",
    "calling",
    "exponential",
    "fixed",
    "keep",
    "linear",
    "load_settings",
    "steps",
]


if not TYPE_CHECKING:  # for a type checker, a name that is not above is a mistake

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'streamq' has no attribute {name!r}")
        found = getattr(import_module(f"streamq.{home}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return __all__
