"""The tree of errors: the drawing is true, messages are word for word, facts survive a copy."""

import copy
import pickle
import re
from collections.abc import Callable, Iterator
from typing import get_args

import pytest

import streamq.embedded  # its error is in the tree
import streamq.errors
import streamq.verdicts
from streamq.errors import (
    NAME_SETS,
    REFUSALS,
    AppNotImportable,
    DuplicateHandler,
    EvictingPolicy,
    Gone,
    InvalidInput,
    InvalidName,
    InvalidPayload,
    InvalidSetting,
    JobFailed,
    JobNotFound,
    LayoutNewer,
    LeaseLost,
    LoopStoodStill,
    MissingExtra,
    Named,
    NoHandler,
    NotApplied,
    NotSerialisable,
    OutcomeUnknown,
    OutOfRange,
    PayloadTooLarge,
    PlainFunction,
    PortInUse,
    RedisRefusedPassword,
    RedisSpeaksTls,
    RedisTooOld,
    RedisUnavailable,
    ResultGone,
    ResultTimeout,
    ScriptFault,
    StoreFull,
    StreamqError,
    SyncInLoop,
    Undecodable,
    UnfitPayloadType,
    UnknownJobName,
    UnknownQueue,
    UnknownSetting,
    UnreadableSettings,
    refusal,
    show_bytes,
)
from streamq.verdicts import Fail, Retry, Snooze

QUEUES = ["backup", "cleanup", "email"]

# Each line is what a user reads at one mistake.
MESSAGES: list[tuple[StreamqError, str]] = [
    (
        RedisUnavailable("localhost:6379", "REDIS_URL", "connection refused"),
        "SQ101 Cannot reach Redis at localhost:6379 (from REDIS_URL): connection refused."
        " Is it running? Start one:  streamq dev   or   redis-server.",
    ),
    (
        RedisRefusedPassword("REDIS_URL"),
        "SQ102 Redis refused the password of REDIS_URL (user default).",
    ),
    (
        RedisSpeaksTls("redis.example.com:6380", "REDIS_URL"),
        "SQ103 Redis at redis.example.com:6380 (from REDIS_URL) speaks TLS:"
        " use rediss:// or REDIS_TLS=true",
    ),
    (
        OutcomeUnknown("add", "connection lost"),
        "SQ104 add: sent to Redis, no reply (connection lost)."
        " It may have been applied: repeat it with the same ids.",
    ),
    (
        NotApplied("step", "LOADING"),
        "SQ105 step: Redis answered LOADING; nothing was applied.",
    ),
    (
        ScriptFault("step", 42, "attempt to index a nil value"),
        "SQ106 step.lua:42: attempt to index a nil value. Please report it;"
        "  streamq doctor --fix  puts torn data right.",
    ),
    (
        EvictingPolicy("allkeys-lru"),
        "SQ110 Redis may delete jobs: maxmemory-policy is allkeys-lru. Set noeviction:"
        "  redis-cli config set maxmemory-policy noeviction",
    ),
    (
        RedisTooOld("5.0.14"),
        "SQ111 Redis 5.0.14 is too old: streamq needs 6.2 or newer (XAUTOCLAIM, LMOVE)."
        " Valkey 7.2+ works too.",
    ),
    (
        StoreFull("email"),
        "SQ123 queue email: Redis is out of memory; nothing was added."
        " Raise maxmemory, or make room:  streamq clean",
    ),
    (
        Gone("email", "w-17"),
        "SQ120 queue email: this worker was declared dead (w-17)."
        " It registers anew under a new id.",
    ),
    (
        LeaseLost("0192", 3, 4),
        "SQ127 job 0192: fence 3 is stale, the lease is at 4."
        " Stop this attempt; another worker has the job.",
    ),
    (
        LeaseLost("0192", 3),
        "SQ127 job 0192: fence 3 is stale, nobody holds it."
        " Stop this attempt; it was settled or taken away.",
    ),
    (
        UnknownQueue("emial", "imobi", QUEUES),
        'SQ201 No queue "emial" in app "imobi". Did you mean "email"?'
        " Known: backup, cleanup, email (add with create=True to allow it)",
    ),
    (
        UnknownQueue("q", "big", [f"queue-{n:02}" for n in range(30)]),
        'SQ201 No queue "q" in app "big". Known: '
        + ", ".join(f"queue-{n:02}" for n in range(12))
        + ", … (add with create=True to allow it)",
    ),
    (
        NoHandler("report", "generate-reprot", ["generate-report"]),
        "SQ202 report/generate-reprot parked: no handler. Did you mean generate-report?"
        " It runs when a worker that knows it starts; see  streamq jobs report --state parked",
    ),
    (
        InvalidPayload("email", "send-email", "Expected int | str, got float - at $.invoiceId"),
        "SQ203 email/send-email: Expected int | str, got float - at $.invoiceId",
    ),
    (
        NotSerialisable("$.user", "a Django model (User)", "Pass its id: keys, not objects."),
        "SQ204 $.user is a Django model (User). Pass its id: keys, not objects.",
    ),
    (
        PayloadTooLarge(1_468_006, 262_144),
        "SQ205 payload is 1.4 MiB, limit 256 KiB (payload_limit). Put it in S3 and pass the key.",
    ),
    (
        PayloadTooLarge(262_145, 262_144),
        "SQ205 payload is 262,145 B, limit 256 KiB (payload_limit). Put it in S3 and pass the key.",
    ),
    (
        UnknownJobName("email", "send-emial", ["send-email"]),
        'SQ206 No handler for email/send-emial. Did you mean "send-email"?'
        " Known: send-email (add with force=True to send it all the same)",
    ),
    (
        InvalidName("queue", "e mail"),
        'SQ208 queue name "e mail" is not allowed: it must match [A-Za-z0-9._-]{1,64}',
    ),
    (
        InvalidName("job", 5),
        "SQ208 job name 5 is not allowed: it must match [A-Za-z0-9._-]{1,64}",
    ),
    (
        InvalidName("id", "a{b}"),
        'SQ208 id "a{b}" is not allowed: it must match [A-Za-z0-9._:@+-]{1,128}',
    ),
    (OutOfRange("priority", 11, 1, 10), "SQ209 priority=11 is out of range: give 1 to 10."),
    (
        PlainFunction("welcome", 30_000),
        "SQ210 welcome is a plain function: it runs in a thread (max 30 s)."
        " For CPU work start more processes:  streamq run -p N",
    ),
    (
        LoopStoodStill(3_200, "report", "generate-report", "reports.py:88", "time.sleep"),
        "SQ211 the event loop stood still for 3.2 s in report/generate-report"
        " at reports.py:88 (time.sleep)",
    ),
    (
        SyncInLoop(),
        "SQ212 add_sync() called inside a running event loop: use await add().",
    ),
    (
        Undecodable("email", "send-email", "Expected str, got int - at $.to"),
        "SQ213 email/send-email parked: Expected str, got int - at $.to."
        " It runs when a build that can read it starts; see  streamq jobs email --state parked",
    ),
    (JobFailed("0192", "no such mailbox"), "SQ251 job 0192 failed: no such mailbox"),
    (
        ResultTimeout("0192", 10_000),
        "SQ252 job 0192 has no result after 10 s. It goes on; ask again later.",
    ),
    (
        ResultGone("0192"),
        "SQ253 job 0192: its result is gone, removed or kept for less time (keep_completed).",
    ),
    (
        JobNotFound("0192", "email"),
        'SQ254 No job "0192" in queue email: never added, or removed.',
    ),
    (
        AppNotImportable("processors.app:app", "ModuleNotFoundError 'processors'"),
        "SQ301 Cannot import processors.app:app: ModuleNotFoundError 'processors'"
        " (looked in . and src)."
        " Run from the project's root or set app in streamq.toml.",
    ),
    (
        AppNotImportable("shop:ap", "it has no attribute ap", ["shop:app"]),
        "SQ301 Cannot import shop:ap: it has no attribute ap (looked in . and src)."
        " App objects found there: shop:app."
        " Run from the project's root or set app in streamq.toml.",
    ),
    (
        DuplicateHandler("email", "welcome", "shop.welcome", "shop.hello"),
        "SQ302 Two handlers for email/welcome: shop.welcome and shop.hello."
        " Remove one, or give it another name=.",
    ),
    (
        UnfitPayloadType(dict, "nothing that is stored becomes a User"),
        "SQ303 dict cannot be a payload: nothing that is stored becomes a User."
        " Use a Payload with fields of text, numbers, lists, tables or other Payloads.",
    ),
    (
        UnknownSetting("concurency", "streamq.toml", ["attempts", "concurrency"], "defaults"),
        'SQ310 No setting "defaults.concurency" (from streamq.toml).'
        ' Did you mean "concurrency"? Known: attempts, concurrency',
    ),
    (
        InvalidSetting("lease", "5", "STREAMQ_LEASE", "it is not a duration."),
        'SQ311 Setting lease = "5" (from STREAMQ_LEASE): it is not a duration.',
    ),
    (
        UnreadableSettings("streamq.toml", "No such file or directory."),
        "SQ312 Cannot read settings from streamq.toml: No such file or directory.",
    ),
    (
        MissingExtra("PDF reports", "reportlab", "processors"),
        'SQ601 PDF reports need reportlab:  pip install "streamq[processors]"',
    ),
    (
        PortInUse(5000, "pid 4242 streamq"),
        "SQ602 Port 5000 is in use (pid 4242 streamq). --port 0 picks a free one.",
    ),
    (Fail("no such mailbox"), "no such mailbox"),
    (Retry(after="5s"), "the handler asked for another attempt"),
    (Snooze(after="5s", reason="closed on Sundays"), "closed on Sundays"),
]


@pytest.mark.parametrize(
    ("error", "text"), MESSAGES, ids=[type(error).__name__ for error, _ in MESSAGES]
)
def test_a_message_says_what_happened_and_the_way_out(error: StreamqError, text: str) -> None:
    assert str(error) == text


def test_a_newer_layout_is_named_with_both_versions() -> None:
    error = refusal("email", "LAYOUT 3 1-2")

    assert isinstance(error, LayoutNewer)
    assert (error.found, error.known) == ("3", "1-2")
    assert re.fullmatch(
        r"SQ112 Queue email has layout 3, this streamq \(.+\) knows 1-2\."
        r" Update the workers, or roll the producers back; nothing was changed\.",
        str(error),
    )


def test_the_command_line_adds_the_exit_code_when_redis_is_away() -> None:
    away = RedisUnavailable("localhost:6379", "REDIS_URL", "connection refused")

    assert away.cli_text == f"{away}   Exit code 3."
    assert EvictingPolicy("allkeys-lru").cli_text == str(EvictingPolicy("allkeys-lru"))


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
@pytest.mark.parametrize(
    "error", [error for error, _ in MESSAGES], ids=[type(error).__name__ for error, _ in MESSAGES]
)
def test_facts_and_message_survive_a_copy(
    error: StreamqError, again: Callable[[StreamqError], StreamqError]
) -> None:
    other = again(error)

    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)


# A module may keep an error that only it and its callers meet, such as a wrong option of a verb;
# which of those are loaded depends on the other tests.
DRAWN_MODULES = ("streamq.errors", "streamq.verdicts", "streamq.embedded")


def all_classes(root: type[StreamqError] = StreamqError) -> Iterator[type[StreamqError]]:
    yield root
    for cls in root.__subclasses__():
        if cls.__module__.startswith(DRAWN_MODULES):
            yield from all_classes(cls)


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """Name -> (name of the class above, code), as the docstring draws them."""
    found: dict[str, tuple[str | None, str | None]] = {}
    above: list[str] = []
    for line in (streamq.errors.__doc__ or "").splitlines():
        match = re.match(r"(?P<lead>    [│├└─ ]*)(?P<name>[A-Z]\w+)(?P<rest>.*)", line)
        if match is None:
            continue
        depth = (len(match["lead"]) - 4) // 4
        above[depth:] = [match["name"]]
        code = re.search(r"SQ\d{3}", match["rest"])
        found[match["name"]] = (above[depth - 1] if depth else None, code and code[0])
    return found


def test_the_drawing_shows_every_class_under_its_parent_with_its_code() -> None:
    real = {
        cls.__name__: (None if cls is StreamqError else cls.__mro__[1].__name__, cls.code)
        for cls in all_classes()
    }

    assert drawn() == real


def test_no_two_mistakes_share_a_code() -> None:
    codes = [cls.code for cls in all_classes() if cls.code]

    # One mistake, two classes: a duration that is no duration, and one that has no unit.
    assert sorted({code for code in codes if codes.count(code) > 1}) == ["SQ207"]


def test_exit_codes_are_those_of_the_command_line() -> None:
    assert {cls.exit_code for cls in all_classes(InvalidInput)} == {2}
    assert RedisUnavailable("x", "y", "z").exit_code == 3
    assert AppNotImportable("x", "y").exit_code == 4
    assert JobFailed("x", "y").exit_code == 5


def test_every_word_of_a_script_has_its_class() -> None:
    words = {"GONE", "STALE", "LAYOUT", "FULL", "VERSION", "STATE", "LIMIT", "AGAIN"}

    assert set(REFUSALS) == words
    for word in words:
        error = refusal("email", f"{word} some detail")
        assert type(error) is REFUSALS[word]
        assert error.queue == "email"
        assert error.detail == "some detail"
    assert refusal("email", "ERR syntax") is None
    assert refusal("email", "") is None


def test_old_ways_of_catching_still_work() -> None:
    assert isinstance(OutOfRange("priority", 11, 1, 10), ValueError)
    assert isinstance(ResultTimeout("x", 1), TimeoutError)
    assert isinstance(JobNotFound("x"), LookupError)
    assert isinstance(MissingExtra("a", "b", "c"), ImportError)
    assert isinstance(SyncInLoop(), RuntimeError)


def test_a_hostile_value_stays_on_one_short_printable_line() -> None:
    text = str(InvalidName("queue", "\x1b[31mred\n" + "x" * 10_000))

    assert text.isprintable()
    assert len(text) < 200


def test_name_sets_hold_nothing_that_forges_a_key() -> None:
    assert set(NAME_SETS) == set(get_args(Named))
    for what, pattern in NAME_SETS.items():
        assert re.fullmatch(pattern, "a-b_c.D9")
        for forged in ("", "a b", "{a}", "a\n", "a\x00", "é", "a/b", "x" * 129):
            assert not re.fullmatch(pattern, forged), (what, forged)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1 KiB"),
        (1_468_006, "1.4 MiB"),
        (1 << 40, "1024 GiB"),
    ],
)
def test_a_size_is_shown_for_people(size_bytes: int, text: str) -> None:
    assert show_bytes(size_bytes) == text


def test_a_verdict_checks_its_time_where_it_is_raised() -> None:
    with pytest.raises(TypeError, match="after=5 is an int"):
        Retry(after=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match='after="-5s": it is negative'):
        Snooze(after="-5s")
    assert Retry().after_ms is None
    assert Retry(after="2m", reason="busy").after_ms == 120_000
    assert Snooze(after="2m").reason == ""
