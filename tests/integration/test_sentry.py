"""What workers report to Sentry, and what they keep for themselves."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest
import sentry_sdk

from streamq import Context, Fail, JobState, NewJob, Payload, Retry, Secret, Snooze
from streamq.run.current import worker_name
from tests.support.sentry_side import DSN, Sent, part, recording, started, stop
from tests.support.waiting import soon
from tests.support.workers import QUEUE, Floor


@pytest.fixture(autouse=True)
def _queue_known(floor: Floor) -> None:
    floor.app.declare_queue(QUEUE, backoff=[timedelta(milliseconds=1)])


@pytest.fixture
def sent() -> Iterator[Sent]:
    with started() as sent:
        yield sent


class Login(Payload):
    to: str
    password: str = "hunter2"
    pin: Secret[str] = "0815-pin"


# -- errors


async def test_every_failed_attempt_is_reported_with_what_it_worked_on(
    floor: Floor, sent: Sent
) -> None:
    @floor.job(attempts=2)
    async def welcome(data: Login) -> None:
        local = "-".join(("a", "local", "value"))
        raise ValueError(f"no template for {data.to}{local[:0]}")

    await floor.hire()
    job = await floor.add("welcome", Login(to="ana@sol.example"))
    await floor.reaches(job, JobState.FAILED)

    first, second = sent.errors
    for number, event in enumerate((first, second), 1):
        assert event["level"] == "error"
        assert event["transaction"] == "welcome"
        assert event["release"] == "v1"
        assert event["tags"] == {
            "queue": QUEUE, "job": "welcome", "attempt": number, "worker": worker_name(),
        }  # fmt: skip
        assert part(event, "contexts", "job") == {
            "id": job,
            "queue": QUEUE,
            "name": "welcome",
            "attempt": number,
            "attempts": 2,
            "data": {"to": "ana@sol.example", "password": "[redacted]", "pin": "[redacted]"},
        }
        error = part(event, "exception", "values", 0)
        assert part(error, "type") == "ValueError"
        assert part(error, "value") == "no template for ana@sol.example"
        assert part(error, "mechanism") == {"type": "streamq", "handled": False}
        assert part(error, "stacktrace", "frames", -1, "function") == "welcome"
    assert "a-local-value" not in sent.text
    assert "hunter2" not in sent.text
    assert "0815-pin" not in sent.text


async def test_what_looks_like_a_secret_is_hidden_wherever_it_stands(
    floor: Floor, sent: Sent
) -> None:
    url = "postgres://imobi:hunter2@db/app"

    @floor.job(attempts=1)
    async def leak(data: object) -> None:
        logging.getLogger("shop").warning("connecting to %s", url)
        sentry_sdk.set_extra("headers", {"Authorization": "Bearer abc123def456"})
        try:
            raise OSError(url)
        except OSError as error:
            raise RuntimeError(f"cannot reach {url}") from error

    await floor.hire()
    await floor.reaches(await floor.add("leak", {"dsn": url, "note": url}), JobState.FAILED)

    (event,) = sent.errors
    assert part(event, "contexts", "job", "data", "note") == "postgres://[redacted]@db/app"
    said = [part(each, "value") for each in _list(part(event, "exception", "values"))]
    assert said[-1] == "cannot reach postgres://[redacted]@db/app"
    assert "hunter2" not in sent.text.replace('url = "postgres://imobi:hunter2', "")
    assert "abc123def456" not in sent.text


def _list(found: object) -> list[object]:
    assert isinstance(found, list)
    return found


async def test_what_failed_at_nothing_is_not_reported(floor: Floor, sent: Sent) -> None:
    snoozed = 0

    @floor.job(attempts=3)
    async def again(data: object, job: Context) -> None:
        logging.getLogger("shop").error("not yet")
        if job.attempt < 2:
            raise Retry(after=timedelta(milliseconds=1))

    @floor.job()
    async def later(data: object) -> None:
        nonlocal snoozed
        snoozed += 1
        if snoozed == 1:
            raise Snooze(after=timedelta(milliseconds=1))

    @floor.job(attempts=1)
    async def gives_up(data: object) -> None:
        raise Retry(reason="no more")

    @floor.job()
    async def lasting(data: object) -> None:
        await asyncio.sleep(60)

    hired = await floor.hire(concurrency=4)
    for name in ("again", "later"):
        await floor.reaches(await floor.add(name), JobState.COMPLETED)
    await floor.reaches(await floor.add("gives_up"), JobState.FAILED)
    cancelled, released = await floor.add("lasting"), await floor.add("lasting")
    await soon(lambda: hired.worker.busy == 2, "both run")
    await floor.queue.cancel(cancelled)
    hired.worker.cancel_job(cancelled)
    await floor.reaches(cancelled, JobState.FAILED)
    hired.worker.hand_back()
    await soon(lambda: bool(sent.transactions) and _statuses(sent)[-1] == "cancelled", "back")
    await hired.leaves()

    assert sent.errors == []
    assert snoozed == 2
    await floor.queue.remove(released)


def _statuses(sent: Sent) -> list[object]:
    return [part(each, "contexts", "trace", "status") for each in sent.transactions]


async def test_a_verdict_that_fails_the_job_and_a_time_out_are_reported(
    floor: Floor, sent: Sent
) -> None:
    @floor.job()
    async def bounce(data: object) -> None:
        raise Fail("550 no such mailbox")

    @floor.job(attempts=1, timeout="20ms")
    async def slow(data: object) -> None:
        await asyncio.sleep(60)

    await floor.hire()
    await floor.reaches(await floor.add("bounce"), JobState.FAILED)
    await floor.reaches(await floor.add("slow"), JobState.FAILED)

    kinds = [part(event, "exception", "values", -1, "type") for event in sent.errors]
    assert kinds == ["Fail", "TimeoutError"]
    assert _statuses(sent) == ["internal_error", "deadline_exceeded"]


async def test_an_error_that_is_raised_twice_failed_two_attempts(floor: Floor, sent: Sent) -> None:
    always = RuntimeError("the same object")

    @floor.job(attempts=3)
    async def welcome(data: object) -> None:
        raise always

    await floor.hire()
    await floor.reaches(await floor.add("welcome"), JobState.FAILED)

    assert len(sent.errors) == 3


async def test_a_plain_function_is_reported_too_with_its_lines_before(
    floor: Floor, sent: Sent
) -> None:
    @floor.job(attempts=1)
    def make(data: object) -> None:
        logging.getLogger("shop").warning("the file is %s", "short")
        raise ValueError("too short")

    await floor.hire()
    await floor.reaches(await floor.add("make"), JobState.FAILED)

    (event,) = sent.errors
    lines = _list(part(event, "breadcrumbs", "values"))
    assert "the file is short" in [part(line, "message") for line in lines]


async def test_jobs_that_run_together_do_not_mix(floor: Floor, sent: Sent) -> None:
    both = asyncio.Barrier(2)

    @floor.job(attempts=1)
    async def one(data: str) -> None:
        sentry_sdk.set_tag("mine", data)
        logging.getLogger("shop").warning("this is %s", data)
        await both.wait()
        raise ValueError(data)

    await floor.hire()
    jobs = [await floor.add("one", name) for name in ("ana", "bia")]
    for job in jobs:
        await floor.reaches(job, JobState.FAILED)

    assert len(sent.errors) == 2
    for event in sent.errors:
        name = part(event, "exception", "values", -1, "value")
        assert part(event, "tags", "mine") == name
        lines = [part(b, "message") for b in _list(part(event, "breadcrumbs", "values"))]
        assert [line for line in lines if str(line).startswith("this is")] == [f"this is {name}"]


async def test_a_payload_that_is_large_is_named_by_its_size(floor: Floor, sent: Sent) -> None:
    @floor.job(attempts=1)
    async def big(data: object) -> None:
        raise ValueError("no")

    await floor.hire()
    await floor.reaches(await floor.add("big", {"text": "x" * 50_000}), JobState.FAILED)

    assert part(sent.errors[0], "contexts", "job", "data") == "[50,009 bytes]"


async def test_an_application_that_started_the_sdk_itself_has_its_secrets_hidden_too(
    floor: Floor,
) -> None:
    sent = Sent()
    sentry_sdk.init(DSN, transport=recording(sent), default_integrations=False)
    try:

        @floor.job(attempts=1)
        async def login(data: Login) -> None:
            raise ValueError("no")

        await floor.hire()
        await floor.reaches(await floor.add("login", Login(to="ana@sol.example")), JobState.FAILED)
    finally:
        stop()

    assert part(sent.errors[0], "contexts", "job", "data", "to") == "ana@sol.example"
    assert "hunter2" not in sent.text.replace('password: str = "hunter2"', "")
    frames = _list(part(sent.errors[0], "exception", "values", 0, "stacktrace", "frames"))
    assert not [frame for frame in frames if isinstance(frame, Mapping) and "vars" in frame]


# -- traces


async def test_a_job_is_a_transaction_that_the_queues_page_can_read(
    floor: Floor, sent: Sent
) -> None:
    @floor.job()
    async def welcome(data: object) -> None: ...

    job = await floor.add("welcome", "ana")
    await floor.hire()
    await floor.reaches(job, JobState.COMPLETED)

    (transaction,) = sent.transactions
    assert transaction["transaction"] == "welcome"
    assert part(transaction, "transaction_info", "source") == "task"
    trace = part(transaction, "contexts", "trace")
    assert (part(trace, "op"), part(trace, "status")) == ("queue.process", "ok")
    told = part(trace, "data")
    assert isinstance(told, Mapping)
    latency_ms = told["messaging.message.receive.latency"]
    assert isinstance(latency_ms, int)
    assert latency_ms >= 0
    assert {name: told[name] for name in told if str(name).startswith("messaging.")} == {
        "messaging.system": "streamq",
        "messaging.message.id": job,
        "messaging.destination.name": QUEUE,
        "messaging.message.body.size": 4,
        "messaging.message.retry.count": 0,
        "messaging.message.receive.latency": latency_ms,
    }


async def test_a_trace_goes_from_who_added_to_who_ran(floor: Floor, sent: Sent) -> None:
    seen: dict[str, str] = {}

    @floor.job()
    async def inner(data: object, job: Context) -> None:
        seen.update(job.headers)

    @floor.job()
    async def outer(data: object) -> None:
        await floor.add("inner", "x")

    await floor.hire()
    with sentry_sdk.start_transaction(op="http.server", name="POST /users"):
        job = await floor.add("outer", headers={"tenant": "sol"})
    await floor.reaches(job, JobState.COMPLETED)
    await floor.all_reach(JobState.COMPLETED, 2)

    request, *jobs = sent.transactions
    outer_, inner_ = sorted(jobs, key=lambda each: each["transaction"] != "outer")
    for sender, receiver in ((request, outer_), (outer_, inner_)):
        span = part(sender, "spans", 0)
        trace = part(receiver, "contexts", "trace")
        assert (part(span, "op"), part(span, "description")) == ("queue.publish", QUEUE)
        assert part(span, "data", "messaging.destination.name") == QUEUE
        assert part(trace, "parent_span_id") == part(span, "span_id")
        assert part(trace, "trace_id") == part(span, "trace_id")
    message = part(request, "spans", 0, "data", "messaging.message.id")
    assert message == job
    assert {"sentry-trace", "baggage"} <= seen.keys()


async def test_many_jobs_that_are_added_at_once_are_one_span(floor: Floor, sent: Sent) -> None:
    with sentry_sdk.start_transaction(op="http.server", name="POST /users"):
        await floor.queue.add_many([NewJob("x", n) for n in range(5)], force=True)

    (span,) = _list(part(sent.transactions[0], "spans"))
    assert part(span, "data", "messaging.batch.message_count") == 5
    await floor.queue.drain()


async def test_headers_that_the_application_gave_win_over_ours(floor: Floor, sent: Sent) -> None:
    own = "771a43a4192642f0b136d5159a501700-1234567890abcdef-1"

    @floor.job()
    async def welcome(data: object) -> None: ...

    await floor.hire()
    job = await floor.add("welcome", headers={"sentry-trace": own})
    await floor.reaches(job, JobState.COMPLETED)

    trace = part(sent.transactions[0], "contexts", "trace")
    assert part(trace, "trace_id") == own.partition("-")[0]


@pytest.mark.parametrize("bad", ["", "x", "-" * 50, "\udcff".encode("utf-8", "replace").decode()])
async def test_a_trace_that_somebody_made_up_harms_no_job(
    floor: Floor, sent: Sent, bad: str
) -> None:
    @floor.job()
    async def welcome(data: object) -> None: ...

    await floor.hire()
    job = await floor.add("welcome", headers={"sentry-trace": bad, "baggage": f"a={bad},,=;%"})
    await floor.reaches(job, JobState.COMPLETED)

    assert len(sent.transactions) == 1


async def test_without_the_sdk_a_job_has_no_headers_of_it(floor: Floor) -> None:
    seen: list[Mapping[str, str]] = []

    @floor.job()
    async def welcome(data: object, job: Context) -> None:
        seen.append(job.headers)

    await floor.hire()
    await floor.reaches(await floor.add("welcome"), JobState.COMPLETED)

    assert seen == [{}]
