"""What the log says of each job: one line when it begins and one at its end.

The lines have the console's shapes; their fields are for whoever reads JSON. Logged within the
attempt, so that the job's own fields are on them by themselves.
"""

import logging

from streamq.job import End, Outcome

log = logging.getLogger("streamq.worker")


def tell_begin(queue: str, job: str) -> None:
    """Its handler is about to be called."""
    log.info("[Worker:%s] Processing job %s", queue, job, extra={"event": "job.started"})


def tell_end(queue: str, outcome: Outcome) -> None:
    """What its attempt came to."""
    job, run, end = outcome.claim.id, outcome.run, outcome.end
    fields = {
        "event": f"job.{end.value}",
        "wait_ms": outcome.wait_ms,
        "run_ms": outcome.run_ms,
        "error": outcome.error or None,
    }
    if end is End.COMPLETED:
        log.info("[Worker:%s] Job %s completed successfully", queue, job, extra=fields)
        return
    last = run.errors[-1] if run is not None and run.errors else None
    why = f"{last.type}: {last.message}" if last else (run.reason if run is not None else "")
    if end is End.RETRY:
        log.warning(
            "[Worker:%s] Job %s failed attempt %d: %s; retry in %.1f s",
            queue, job, run.attempts if run else 0, why, (outcome.delay_ms or 0) / 1000,
            extra=fields,
        )  # fmt: skip
    elif end is End.FAILED:
        log.error("[Worker:%s] Job %s failed: %s", queue, job, why, extra=fields)
    elif end is End.PARKED:
        log.warning("[Worker:%s] Job %s parked: %s", queue, job, why, extra=fields)
    else:
        log.info("[Worker:%s] Job %s handed back", queue, job, extra=fields)
