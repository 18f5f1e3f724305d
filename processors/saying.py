"""Lines on the console of what a job does: `[BackupProcessor] Dump of imobibase completed`."""

import logging

from streamq import Context


def say(log: logging.Logger, job: Context, event: str, text: str) -> None:
    """One line; in JSON it carries which job says it. No value of a payload goes into it.

    `log` is named as the console shows it; `event` is for those who search: `backup.completed`.
    """
    log.info(
        text,
        extra={
            "event": event,
            "queue": job.queue,
            "job": job.name,
            "job_id": job.id,
            "attempt": job.attempt,
            "attempts": job.attempts,
        },
    )
