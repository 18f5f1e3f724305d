"""Errors and traces to Sentry: when SENTRY_DSN is set, or the application itself uses its SDK.

Owns how the SDK is started, what is hidden of what it sends, and the producer's side of a trace;
the worker's side is `run/reports.py`. Without either of the two nothing of it is imported.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from streamq.errors import InvalidSetting, MissingExtra
from streamq.job import Job, NewJob, Run
from streamq.lookup import masked_url
from streamq.redact import redact
from streamq.settings import Settings

if TYPE_CHECKING:
    from sentry_sdk.transport import Transport
    from sentry_sdk.types import Event, Hint

SDK: Final = "sentry_sdk"
ORIGIN: Final = "auto.queue.streamq"
FLUSH_LIMIT_S: Final = 1.5
"""At the end of a process, for what was not sent yet."""

DIED: Final = "WorkerDied"
"""The type of such an error, as the job itself has it."""

TRACE_HEADER: Final = "sentry-trace"
BAGGAGE_HEADER: Final = "baggage"
BAGGAGE_CHARS_MAX: Final = 2_048
"""It stands in each job: what an application put into it must not fill Redis."""

# By the SDK itself, and needed as it is.
_UNTOUCHED: Final = frozenset({"sdk", "event_id", "timestamp", "start_timestamp", "_meta"})

_started = False


def start(
    settings: Settings, release: str = "", *, transport: "type[Transport] | None" = None
) -> bool:
    """Starts the SDK in this process, if a DSN is set; whether errors are reported.

    An application that started it itself keeps it as it is. Raises MissingExtra, and InvalidSetting
    for a DSN that is none.
    """
    global _started
    if settings.sentry_dsn is None or active():
        return active()
    try:
        import sentry_sdk
        from sentry_sdk.integrations import argv, atexit, dedupe, modules
        from sentry_sdk.integrations.logging import LoggingIntegration
        from sentry_sdk.utils import BadDsn
    except ImportError:
        raise MissingExtra("Reports to Sentry", "sentry-sdk", "sentry") from None
    try:
        sentry_sdk.init(
            dsn=settings.sentry_dsn,
            environment=settings.env.value,
            release=release or None,
            traces_sample_rate=settings.sentry_traces,
            transport=transport,
            include_local_variables=False,  # they are payloads, mostly
            before_send=redacted,
            before_send_transaction=redacted,
            # Those of libraries that happen to be here are the application's to ask for.
            auto_enabling_integrations=False,
            # Command lines hold passwords; an error that is raised twice failed two attempts; a
            # process ends by `flush`.
            disabled_integrations=[
                argv.ArgvIntegration(),
                atexit.AtexitIntegration(),
                dedupe.DedupeIntegration(),
                modules.ModulesIntegration(),
            ],
            # Lines are the way to an error. What is one, the attempt's end says: a handler that
            # logs an error and asks for another attempt has none.
            integrations=[LoggingIntegration(event_level=None)],
        )
    except BadDsn as error:
        origin = settings.origins.of("sentry_dsn")
        shown = masked_url(settings.sentry_dsn)
        why = f"Sentry does not take it: {error}. Copy it from the project's settings."
        raise InvalidSetting("sentry_dsn", shown, origin, why) from None
    _started = True
    return True


def active() -> bool:
    """Whether the SDK is started in this process, by us or by the application."""
    if SDK not in sys.modules:
        return False
    import sentry_sdk

    return sentry_sdk.get_client().is_active()


def is_ours() -> bool:
    """Whether we started it, so that whatever it sends goes through `redacted`."""
    return _started


def flush() -> None:
    """Sends what waits, as far as that takes no longer than FLUSH_LIMIT_S."""
    if active():
        import sentry_sdk

        sentry_sdk.flush(FLUSH_LIMIT_S)


def redacted(event: "Event", hint: "Hint") -> "Event":
    """What is sent, without secrets and without the values of local variables."""
    for error in _values(event.get("exception")):
        trace = error.get("stacktrace")
        for frame in trace.get("frames", ()) if isinstance(trace, Mapping) else ():
            if isinstance(frame, dict):
                frame.pop("vars", None)
    for name, value in list(event.items()):
        if name not in _UNTOUCHED:
            event[name] = redact(value)  # type: ignore[literal-required]  # of its own keys
    return event


def _values(table: object) -> list[Mapping[str, object]]:
    values = table.get("values") if isinstance(table, Mapping) else None
    return [each for each in values if isinstance(each, Mapping)] if values else []


def report_death(job: Job, run: Run) -> None:
    """A job that failed with its process, and not by an error that its attempt could report.

    `run` is what it failed with. Its data is left out: only who has its handler knows what of it is
    secret.
    """
    import sentry_sdk

    with sentry_sdk.new_scope() as scope:
        if not is_ours():
            scope.add_event_processor(redacted)
        scope.set_tag("queue", job.queue)
        scope.set_tag("job", job.name)
        scope.set_tag("attempt", run.attempts + 1)
        shown = {
            "id": job.id,
            "queue": job.queue,
            "name": job.name,
            "attempt": run.attempts + 1,
            "attempts": job.options.attempts,
            "data": f"[{len(job.data):,} bytes]",
        }
        scope.set_context("job", shown)
        scope.set_transaction_name(job.name)
        mechanism = {"type": "streamq", "handled": False}
        error = {"type": DIED, "value": run.reason, "mechanism": mechanism}
        sentry_sdk.capture_event({"level": "fatal", "exception": {"values": [error]}})


@contextmanager
def publishing(queue: str, jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """The span of an add; gives the jobs with the trace in their headers.

    Only where `active`. What an application put into those headers itself stays.
    """
    import sentry_sdk

    with sentry_sdk.start_span(op="queue.publish", name=queue, origin=ORIGIN) as span:
        if len(jobs) == 1:
            span.set_data("messaging.message.id", jobs[0].id)
        else:
            span.set_data("messaging.batch.message_count", len(jobs))
        span.set_data("messaging.system", "streamq")
        span.set_data("messaging.destination.name", queue)
        span.set_data("messaging.message.body.size", sum(len(job.data) for job in jobs))
        headers = _trace_headers()
        yield [_with_headers(job, headers) for job in jobs]


def _trace_headers() -> dict[str, str]:
    import sentry_sdk

    trace, baggage = sentry_sdk.get_traceparent(), sentry_sdk.get_baggage()
    headers = {TRACE_HEADER: trace} if trace else {}
    if baggage and len(baggage) <= BAGGAGE_CHARS_MAX:
        headers[BAGGAGE_HEADER] = baggage
    return headers


def _with_headers(job: NewJob, headers: dict[str, str]) -> NewJob:
    own = job.options.headers or {}
    options = msgspec.structs.replace(job.options, headers=headers | own)
    return msgspec.structs.replace(job, options=options)
