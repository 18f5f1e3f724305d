"""An attempt as Sentry sees it: a transaction around it, and an event if it failed.

Every failed attempt is reported, with what it worked on, less its secrets. What only asks for
another time (Retry, Snooze), was handed back or was cancelled by an operator failed at nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import sentry_sdk
from sentry_sdk.tracing import TransactionSource
from sentry_sdk.utils import capture_internal_exceptions, event_from_exception

from streamq import sentry
from streamq.job import Outcome, value_of
from streamq.redact import marked_in, redact
from streamq.run.current import worker_name
from streamq.run.judge import Attempt
from streamq.verdicts import Retry, Snooze

DATA_BYTES_MAX: Final = 16 * 1024
"""Of a payload that is shown; a larger one is named by its size."""

Call = Callable[[Attempt], Awaitable[Outcome | None]]

_STATUS: Final[Mapping[str, str]] = {
    "completed": "ok",
    "retried": "internal_error",
    "failed": "internal_error",
    "timeout": "deadline_exceeded",
    "parked": "invalid_argument",
    "snoozed": "aborted",
    "released": "cancelled",
    "cancelled": "cancelled",
}
"""Of a transaction, by the outcome's word."""

_LOST: Final = "aborted"


class Reports:
    """Wraps the call that runs an attempt."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def call(self, attempt: Attempt) -> Outcome | None:
        """The same, within a scope and a transaction of its own."""
        context = attempt.context
        with sentry_sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            scope.set_tag("queue", context.queue)
            scope.set_tag("job", context.name)
            scope.set_tag("attempt", context.attempt)
            scope.set_tag("worker", worker_name())
            if not sentry.is_ours():
                scope.add_event_processor(sentry.redacted)
            transaction = sentry_sdk.continue_trace(
                dict(context.headers),
                op="queue.process",
                name=context.name,
                source=TransactionSource.TASK,
                origin=sentry.ORIGIN,
            )
            with sentry_sdk.start_transaction(transaction) as span:
                for key, value in _facts(attempt).items():
                    span.set_data(key, value)
                outcome = await self._call(attempt)
                asked = isinstance(attempt.error, Retry)
                word = "snoozed" if asked else _LOST if outcome is None else outcome.count
                span.set_status(_STATUS.get(word, _LOST))
                if outcome is not None and outcome.error and attempt.error is not None:
                    self._report(scope, attempt, attempt.error)
        return outcome

    def _report(self, scope: sentry_sdk.Scope, attempt: Attempt, error: BaseException) -> None:
        if isinstance(error, Retry | Snooze):
            return
        # A report that cannot be made must not cost the attempt its outcome.
        with capture_internal_exceptions():
            scope.set_context("job", _shown(attempt))
            event, hint = event_from_exception(
                error,
                client_options=sentry_sdk.get_client().options,
                mechanism={"type": "streamq", "handled": False},
            )
            sentry_sdk.capture_event(event, hint=hint)


def _facts(attempt: Attempt) -> dict[str, str | int]:
    """What the Queues page reads."""
    context, claim = attempt.context, attempt.claim
    due_ms = int(claim.entry.partition(b"-")[0])
    return {
        "messaging.system": "streamq",
        "messaging.message.id": context.id,
        "messaging.destination.name": context.queue,
        "messaging.message.body.size": len(bytes(attempt.record.data)),
        "messaging.message.retry.count": context.attempt - 1,
        "messaging.message.receive.latency": max(0, claim.claimed_at_ms - due_ms),
    }


def _shown(attempt: Attempt) -> dict[str, object]:
    context = attempt.context
    data = bytes(attempt.record.data)
    shown: object = f"[{len(data):,} bytes]"
    if len(data) <= DATA_BYTES_MAX:
        shown = redact(value_of(data), marked_in(attempt.handler.codec.kind))
    return {
        "id": context.id,
        "queue": context.queue,
        "name": context.name,
        "attempt": context.attempt,
        "attempts": context.attempts,
        "data": shown,
    }
