"""All routes on one page: method, path, handler, who may, what it does, what the audit calls it.

The first part is the API of the system before, path by path; the second is what came with streamq.
A row without `needs` is no row, and a route without a row does not exist.
"""

from typing import Final

from admin import health, metrics
from admin.api import (
    acts,
    bulk,
    events,
    jobs,
    limits,
    openapi,
    queues,
    redis,
    schedules,
    workers,
)
from admin.policy import Handler, Method, Open, Role, Row

GET, POST, PUT = Method.GET, Method.POST, Method.PUT
PATCH, DELETE = Method.PATCH, Method.DELETE
VIEWER, OPERATOR, ADMIN = Role.VIEWER, Role.OPERATOR, Role.ADMIN
ANYONE, CRON = Open.ANYONE, Open.CRON

API: Final = "/api/admin/jobs"


def row(
    method: Method,
    path: str,
    handler: Handler,
    needs: Role | Open,
    does: str,
    action: str | None = None,
) -> Row:
    """A row of the table; see `Row`."""
    return Row(method=method, path=path, handler=handler, needs=needs, does=does, action=action)


def api(
    method: Method,
    path: str,
    handler: Handler,
    needs: Role | Open,
    does: str,
    action: str | None = None,
) -> Row:
    """A row below the path of the API."""
    return row(method, API + path, handler, needs, does, action)


# fmt: off
ROUTES: Final[tuple[Row, ...]] = (
    # -- what the system before had
    api(GET, "/stats", queues.stats, VIEWER, "get statistics"),
    api(GET, "/queues", queues.queues, VIEWER, "list queues"),
    api(GET, "/queue/{name}", queues.queue, VIEWER, "get queue details"),
    api(GET, "/queue/{name}/performance", queues.performance, VIEWER, "get queue performance"),
    api(GET, "/queue/{name}/logs", jobs.logs, VIEWER, "get queue logs"),
    api(GET, "/failed", jobs.failed, VIEWER, "list failed jobs"),
    api(POST, "/retry/{queueName}/{jobId}", acts.retry, OPERATOR,
        "retry job", "job.retry"),
    api(POST, "/retry-all/{queueName}", bulk.retry_all, OPERATOR,
        "retry all failed jobs", "queue.retry-all"),
    api(GET, "/job/{queueName}/{jobId}", jobs.job, VIEWER, "get job details"),
    api(DELETE, "/{queueName}/{jobId}", acts.remove, OPERATOR,
        "remove job", "job.remove"),
    api(POST, "/pause/{queueName}", queues.pause, OPERATOR,
        "pause queue", "queue.pause"),
    api(POST, "/resume/{queueName}", queues.resume, OPERATOR,
        "resume queue", "queue.resume"),
    api(POST, "/clean/completed/{queueName}", bulk.clean_completed, OPERATOR,
        "clean completed jobs", "queue.clean-completed"),
    api(POST, "/clean/failed/{queueName}", bulk.clean_failed, OPERATOR,
        "clean failed jobs", "queue.clean-failed"),
    api(GET, "/health", health.health, VIEWER, "check health"),
    api(GET, "/scheduled", schedules.scheduled, VIEWER, "list schedules"),
    api(GET, "/redis", redis.redis, VIEWER, "get Redis information"),

    # -- jobs
    api(GET, "/queue/{name}/jobs", jobs.jobs, VIEWER, "list jobs"),
    api(POST, "/queue/{name}/jobs", acts.add, OPERATOR, "add job", "job.add"),
    api(GET, "/job/{queueName}/{jobId}/logs", jobs.job_logs, VIEWER, "get job logs"),
    api(PATCH, "/job/{queueName}/{jobId}", acts.change, OPERATOR,
        "change job", "job.change"),
    api(POST, "/promote/{queueName}/{jobId}", acts.promote, OPERATOR,
        "promote job", "job.promote"),
    api(POST, "/cancel/{queueName}/{jobId}", acts.cancel, OPERATOR,
        "cancel job", "job.cancel"),

    # -- queues and workers
    api(GET, "/queue/{name}/history", queues.history, VIEWER, "get queue history"),
    api(POST, "/drain/{queueName}", bulk.drain, ADMIN, "drain queue", "queue.drain"),
    api(GET, "/limits/{queueName}", limits.limits, VIEWER, "get limits"),
    api(PUT, "/limits/{queueName}", limits.set_limits, OPERATOR,
        "set limits", "queue.limit"),
    api(GET, "/workers", workers.workers, VIEWER, "list workers"),
    api(POST, "/workers/{workerId}/quiet", workers.quiet, OPERATOR,
        "quiet worker", "worker.quiet"),
    api(POST, "/workers/{workerId}/resume", workers.resume, OPERATOR,
        "resume worker", "worker.resume"),
    api(POST, "/workers/{workerId}/stop", workers.stop, OPERATOR,
        "stop worker", "worker.stop"),
    api(POST, "/workers/{workerId}/dump", workers.dump, OPERATOR,
        "dump worker", "worker.dump"),

    # -- schedules
    api(GET, "/schedules/{scheduleName}", schedules.schedule, VIEWER, "get schedule"),
    api(POST, "/schedules/{scheduleName}/run", schedules.run, OPERATOR,
        "run schedule", "schedule.run"),
    api(POST, "/schedules/{scheduleName}/pause", schedules.pause, OPERATOR,
        "pause schedule", "schedule.pause"),
    api(POST, "/schedules/{scheduleName}/resume", schedules.resume, OPERATOR,
        "resume schedule", "schedule.resume"),
    row(POST, "/api/cron/{scheduleName}", schedules.cron, CRON,
        "run schedule", "schedule.cron"),

    # -- itself
    api(GET, "/events", events.events, VIEWER, "follow events"),
    api(GET, "/openapi.json", openapi.openapi, VIEWER, "describe the API"),
    row(GET, "/livez", health.livez, ANYONE, "tell whether it lives"),
    row(GET, "/readyz", health.readyz, ANYONE, "tell whether it is ready"),
    row(GET, "/healthz", health.healthz, ANYONE, "tell how it is"),
    row(GET, "/metrics", metrics.metrics, VIEWER, "export metrics"),
    row(GET, "/scale/{queueName}", health.scale, VIEWER, "tell how many workers it wants"),
)
# fmt: on
