"""The twin of the scripts: what each call on the wire ought to answer, and to leave.

The model's transitions, and about them what a model of single calls does not need: turn numbers,
leases, who was heard of when, and whether anybody may be judged. It is told each call and its
reply, raises `Differs` if that is not what it would have said, and is then compared with the keys.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamq.testing.model import DEATHS_MAX, Job, Model
from streamq.testing.sim import calls
from streamq.testing.sim.calls import Judged, Settled, StepCall, Values
from streamq.testing.sim.server import Reply

JUMP_PART: Final = 2  # of a lease: a longer silence between two beats is a jump
PENDING_MAX: Final = 200
RATE_STEPS: Final = 64


class Differs(AssertionError):
    """A reply, or what stands in the keys, is not what it ought to be."""


def expect(so: bool, what: str, *seen: object) -> None:
    if not so:
        raise Differs(f"{what}: {', '.join(map(str, seen))}")


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _list(value: Reply) -> list[Reply]:
    assert isinstance(value, list), value
    return value


def _flags(value: Reply) -> dict[str, str]:
    flat = [_text(v) for v in _list(value)]
    return dict(zip(flat[::2], flat[1::2], strict=True))


@dataclass
class Twin(Model):
    """See the module. Copied, it is what a copy of the keys is."""

    turns: dict[str, int] = field(default_factory=dict)
    heard_ms: dict[str, int] = field(default_factory=dict)
    """Live workers, and those whose reap has not ended."""
    dead: dict[str, str] = field(default_factory=dict)
    """Worker id -> kind."""
    adds: dict[str, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    version: int = 0
    limits: dict[str, str] = field(default_factory=dict)
    """own_max_active, code_max_active, own_rate, code_rate."""
    rate: tuple[int, int] | None = None
    starts: list[tuple[int, int]] = field(default_factory=list)
    rate_from_ms: int = 0
    beat_at: int = 0
    judge_from: int = 0
    created: set[str] = field(default_factory=set)
    home: dict[str, str] = field(default_factory=dict)
    """Job -> the line of its priority."""

    again: set[str] = field(default_factory=set)
    """Ids that somebody meant to add a second time."""
    went: set[str] = field(default_factory=set)
    """Removed, let go by retention, or completed with nothing kept."""

    def _forget(self, job: str) -> None:
        self.went.add(job)
        super()._forget(job)

    # -- every call

    def call(self, name: str, values: Values, now_ms: int, reply: Reply) -> list[Settled]:
        """A call that Redis answered; the outcomes that it took."""
        word = str(reply).partition(" ")[0] if isinstance(reply, Exception) else ""
        if word in ("OOM", "NOSCRIPT"):
            return []
        twin = TWINS.get(name)
        if twin is None:
            raise Differs(f"{name} was called, which has no twin: {reply!r}")
        return twin(self, values, now_ms, reply, word) or []

    def _register(self, values: Values, now_ms: int, _: Reply, word: str) -> None:
        worker = values["worker"]
        used = worker in self.live or worker in self.dead
        expect(word == ("STATE" if used else ""), f"register of {worker}", word)
        if used:
            return
        self.live[worker], self.turns[worker] = values["kind"], 0
        self.heard_ms[worker] = now_ms
        for limit in ("max_active", "rate"):
            self.limits[f"code_{limit}"] = values[limit]
            self._set_limit(limit, self.limits.get(f"own_{limit}", values[limit]), now_ms)

    def _set_limit(self, limit: str, value: str, now_ms: int) -> None:
        none = value in ("", "0", "0/0")
        if limit == "max_active":
            self.max_active = None if none else int(value)
        else:
            count, _, window = value.partition("/")
            rate = None if none else (int(count), int(window))
            if rate != self.rate:  # what started before counts as far as the old one remembers it
                self.rate, self.starts, self.rate_from_ms = rate, [], now_ms

    def _limit(self, values: Values, now_ms: int, _: Reply, word: str) -> None:
        stale = int(values["version"]) != self.version
        expect(word == ("VERSION" if stale else ""), "limit", word, self.version)
        if stale:
            return
        self.version += 1
        for limit in ("max_active", "rate"):
            value = values[limit]
            if value == "-":
                self.limits.pop(f"own_{limit}", None)
                self._set_limit(limit, self.limits.get(f"code_{limit}", ""), now_ms)
            elif value:
                self.limits[f"own_{limit}"] = value
                self._set_limit(limit, value, now_ms)
        if values["paused"]:
            self.paused = values["paused"] == "1"

    def _add(self, values: Values, now_ms: int, reply: Reply, word: str) -> None:
        producer, number = values["producer"], int(values["number"])
        expect(not word, "add was refused", reply)
        _, replayed, *positions = _list(reply)
        last, existed = self.adds.get(producer, (0, ()))
        if number <= last:
            expect(replayed == 1, f"add {number} of {producer} was applied twice", reply)
            if number == last:
                expect(tuple(positions) == existed, "a repeated add answers otherwise", reply)
            return
        jobs = calls.added(values)
        expect(replayed == 0, f"add {number} of {producer} was not applied", reply)
        found, ticket = [], self._draw()
        for position, new in enumerate(jobs):
            if new.job in self.jobs:
                found.append(position)
                continue
            once = new.job not in self.created or new.job in self.again
            expect(once, "a job was made twice", new.job)
            self.created.add(new.job)
            self.home[new.job] = new.line
            self.jobs[new.job] = Job("delayed", new.line, ticket)
            if new.at_ms is not None or new.delay_ms:
                self.jobs[new.job].due_ms = new.at_ms or now_ms + (new.delay_ms or 0)
            else:
                self._to_line(new.job, new.line, "n")
        expect(positions == found, "add says that others existed", positions, found)
        self.adds[producer] = (number, tuple(found))

    # -- a worker's turn

    def _step(self, values: Values, now_ms: int, reply: Reply, word: str) -> list[Settled]:
        call = calls.step_call(values)
        expected = self._numbered(call.worker, call.turn == self.turns.get(call.worker, -9) + 1)
        expect(word == expected, f"step {call.turn} of {call.worker}", word, expected)
        if expected:
            return []
        answer = _list(reply)
        refused = [o.job for o in call.outcomes if not self._holds(o.job, o.lease)]
        refused += [job for job, lease, _ in call.noted if not self._holds(job, lease)]
        flagged = {
            o.job: flag
            for o in call.outcomes
            if (flag := self._flag(o.job))
            and not (o.job in call.honoured and (flag != "r" or o.kind in ("gone", "removed")))
        }
        if refused or flagged:
            expect(answer[0] == b"recheck", "a batch was taken that had to be refused", refused)
            expect([_text(v) for v in _list(answer[1])] == refused, "refused others", answer[1])
            expect(_flags(answer[2]) == flagged, "flagged others", answer[2], flagged)
            return []
        expect(answer[0] == b"ok", "a batch was refused", call.outcomes)
        self._settle_all(call, now_ms)
        self._claim_for(call, now_ms, answer)
        self.turns[call.worker], self.heard_ms[call.worker] = call.turn, now_ms
        return list(call.outcomes)

    def _numbered(self, worker: str, fits: bool) -> str:
        """The word for a worker's call of that number."""
        if worker not in self.live:
            return "GONE"
        return "" if fits else "STALE"

    def _holds(self, job: str, lease: str) -> bool:
        each = self.jobs.get(job)
        return each is not None and each.state == "active" and each.lease == lease

    def _flag(self, job: str) -> str:
        return self.jobs[job].flag if job in self.jobs else ""

    def _settle_all(self, call: StepCall, now_ms: int) -> None:
        for outcome in call.outcomes:
            self._settle_one(outcome, now_ms)
        for job, _, with_run in call.noted:
            self.jobs[job].has_run |= with_run
        if call.outcomes:
            self.trim("completed", call.keep_completed)
            self.trim("failed", call.keep_failed)

    def _settle_one(self, outcome: Settled, now_ms: int) -> None:
        job, each = outcome.job, self.jobs[outcome.job]
        self._count_attempt(outcome, each)
        each.has_run |= outcome.attempts is not None
        each.lease = ""
        if outcome.kind in ("gone", "removed"):
            self._forget(job)
        elif outcome.kind == "delayed":
            each.state, each.worker, each.flag = "delayed", "", ""
            line = ";" if each.line == ";" else self.home[job]
            expect(outcome.line == line, "a retry comes to another line", outcome, line)
            each.line, each.mark = outcome.line, outcome.mark
            each.due_ms = now_ms + outcome.delay_ms
        elif outcome.kind == "waiting":
            self._to_line(job, outcome.line, outcome.mark)
            each.flag = ""
        else:
            self._end(job, outcome.kind)
            each.ended_ms = now_ms

    def _count_attempt(self, outcome: Settled, each: Job) -> None:
        if outcome.attempts is None:
            return
        before = 0 if each.mark == "f" else each.attempts
        allowed = {
            "completed": (before + 1,),
            "delayed": (before, before + 1),
            "failed": (before, before + 1),
        }.get(outcome.kind, (before,))
        expect(outcome.attempts in allowed, f"attempts of {outcome}", outcome.attempts, allowed)
        each.attempts = outcome.attempts

    def trim(self, state: str, keep: int | None) -> None:
        """Lets go of the oldest of a state."""
        if keep is None:
            return
        ended = sorted(self.ids(state), key=lambda j: (self.jobs[j].ended_ms, j))
        for job in ended[: max(0, len(ended) - keep)]:
            self._forget(job)

    def _claim_for(self, call: StepCall, now_ms: int, answer: Sequence[Reply]) -> None:
        given: list[tuple[str, str, str, str]] = []  # id, line, mark, entry
        for i in range(5, len(answer), 3):
            sign, flat = _text(answer[i]), _list(answer[i + 1])
            for entry, value in zip(flat[::3], flat[1::3], strict=True):
                assert isinstance(value, bytes)
                given.append((value[7:].decode(), sign, chr(value[0]), _text(entry)))
        fence = int(_text(answer[2]))
        slots = call.slots
        if self.rate is not None:
            slots = self._within_rate(call, now_ms, len(given))
        expected = self.claim(call.worker, slots, call.share, now_ms, alone=call.alone)
        expect([g[:3] for g in given] == expected, "claims", given, expected)
        if given:
            self.fence_given(fence)
            if self.rate is not None:
                self.starts.append((now_ms, len(given)))
        for job, sign, _, at in given:
            self.jobs[job].lease = f"{at}|{sign}|{fence}|{call.worker}"
        flags = {job: flag for job, *_ in given if (flag := self.jobs[job].flag)}
        expect(_flags(answer[4]) == flags, "flags of claims", answer[4], flags)

    def _within_rate(self, call: StepCall, now_ms: int, given: int) -> int:
        """How many the claim took, if the rate allows that many, and no fewer than it has to."""
        assert self.rate is not None
        most, window = self.rate
        late = window + window // RATE_STEPS + 1  # starts of one step of the log leave together
        used = sum(n for at, n in self.starts if at + window > now_ms)
        used_at_most = sum(n for at, n in self.starts if at + late > now_ms)
        self.starts = [s for s in self.starts if s[0] + late > now_ms]
        expect(given <= max(0, most - used), "more starts than the rate allows", given, used)
        likely = self.could_claim(call.slots, call.share, now_ms, alone=call.alone)
        if now_ms - self.rate_from_ms > late:
            expect(given >= min(likely, most - used_at_most), "fewer starts than allowed", given)
        return given

    def could_claim(self, slots: int, share: int, now_ms: int, *, alone: bool) -> int:
        """How many jobs a claim would be given, the rate left aside."""
        if self.paused:
            return 0
        room = slots
        if self.max_active is not None:
            room = min(room, self.max_active - len(self.ids("active")))
        due = [j for j in self.ids("delayed") if self.jobs[j].due_ms <= now_ms]
        lines = [self.jobs[j].line for j in (*self.ids("waiting"), *due)]
        if alone:
            return max(0, min(room, lines.count(";")))
        plain = sum(line not in ("0", ";") for line in lines)
        return max(0, min(room, plain + min(share, lines.count("0"))))

    fences: list[int] = field(default_factory=lambda: [0])
    """One number, which copies share: no fence is given twice, whatever was restored."""

    def fence_given(self, fence: int) -> None:
        expect(fence > self.fences[0], "a fence was given before", fence, self.fences[0])
        self.fences[0] = fence

    def _resync(self, values: Values, now_ms: int, reply: Reply, word: str) -> None:
        worker, turn = values["worker"], int(values["turn"])
        expected = self._numbered(worker, turn > self.turns.get(worker, 0))
        expect(word == expected, f"resync {turn} of {worker}", word, expected)
        if expected:
            return
        answer, held = _list(reply), calls.held(values)
        lost = [job for job, lease in held if not self._holds(job, lease)]
        expect([_text(v) for v in _list(answer[1])] == lost, "resync: others are lost", answer[1])
        leases = {lease for _, lease in held}
        mine = {
            (j, self.jobs[j].lease)
            for j in self.ids("active")
            if self.jobs[j].worker == worker and self.jobs[j].lease not in leases
        }
        told = {(_text(answer[i + 2])[7:], _text(answer[i + 5])) for i in range(2, len(answer), 6)}
        expect(told == mine, f"resync of {worker} gives others", told, mine)
        self.turns[worker], self.heard_ms[worker] = turn, now_ms

    # -- who lives

    def heard(self) -> dict[str, str]:
        """Turn and heartbeat of each worker that is not buried yet."""
        return {w: f"{self.turns.get(w, -1)}:{at}" for w, at in self.heard_ms.items()}

    def _beat(self, values: Values, now_ms: int, reply: Reply, word: str) -> None:
        expect(not word, "beat was refused", reply)
        _, gone, flagged, chores = _list(reply)
        workers, lease_ms = calls.ids(values), int(values["lease_ms"])
        for worker in workers:
            if worker in self.live:
                self.heard_ms[worker] = now_ms
        expected = [w for w in workers if w not in self.live]
        expect([_text(v) for v in _list(gone)] == expected, "beat: others are gone", gone)
        judging = self._may_judge(now_ms, lease_ms)
        for worker, at in self.heard_ms.items():
            self.heard_ms[worker] = min(at, now_ms)
        silent = {w for w, at in self.heard_ms.items() if now_ms - at > lease_ms}
        for chore in _list(chores):
            word_of, *args = (_text(v) for v in _list(chore))
            if word_of == "reap":
                expect(judging and set(args) <= silent, "who lives is to be reaped", args, silent)
            if word_of == "retain":
                expect(judging, "retention right after a jump", args)
        flags = {j: each.flag for j, each in self.jobs.items() if each.flag}
        expect(_flags(flagged) == flags, "beat tells other flags", flagged, flags)

    def _may_judge(self, now_ms: int, lease_ms: int) -> bool:
        before, self.beat_at = self.beat_at, now_ms
        if now_ms < before or now_ms - before > lease_ms / JUMP_PART:
            self.judge_from = now_ms + lease_ms
        else:
            self.judge_from = min(self.judge_from, now_ms + lease_ms)
        return now_ms >= self.judge_from

    def _reap(self, values: Values, now_ms: int, reply: Reply, word: str) -> None:
        expect(not word, "reap was refused", reply)
        worker, seen = values["worker"], values["seen"] == "1"
        _, said, given, *doomed = _list(reply)
        if not seen and worker in self.live:
            silent_ms = now_ms - self.heard_ms[worker]
            if now_ms < self.judge_from or silent_ms <= int(values["lease_ms"]):
                expect(said == b"alive", "who lives was reaped", worker, silent_ms)
                return
        if worker in self.live:
            self.dead[worker] = self.live.pop(worker)
            self.turns.pop(worker)
        self.heard_ms[worker] = now_ms
        for verdict in calls.verdicts(values):
            self._execute(verdict, now_ms)
        evidence = values["evidence"] == "1"
        back, left = self._give_back(worker, evidence=evidence)
        expect([_text(v) for v in _list(given)] == back, "reap gives others back", given, back)
        told = {_text(doomed[i]): _text(doomed[i + 5]) for i in range(0, len(doomed), 6)}
        expect(told == left, "reap dooms others", told, left)
        many = len(back) + len(left) >= PENDING_MAX
        expect((said == b"done") is not bool(left or many), "reap's word", said)
        if said == b"done":
            self.heard_ms.pop(worker)

    def _execute(self, verdict: Judged, now_ms: int) -> None:
        if not self._holds(verdict.job, verdict.lease):
            return
        each = self.jobs[verdict.job]
        if each.flag == "r" or verdict.state == "removed":
            self._forget(verdict.job)
        else:
            self._end(verdict.job, verdict.state)
            each.ended_ms, each.lease = now_ms, ""

    def _give_back(self, worker: str, *, evidence: bool) -> tuple[list[str], dict[str, str]]:
        """Jobs that wait again, and why others may not."""
        back: list[str] = []
        left: dict[str, str] = {}
        for job in self.in_order(j for j in self.ids("active") if self.jobs[j].worker == worker):
            each = self.jobs[job]
            guilty, blameless = each.deaths or (0, 0)
            guilty, blameless = guilty + evidence, blameless + (not evidence)
            if each.flag:
                left[job] = "removed" if each.flag == "r" else "cancelled"
            elif evidence and each.line == ";":
                left[job] = "poison"
            elif evidence and guilty >= 2 and "d" not in self.live.values():
                left[job] = "suspect"
            elif not evidence and blameless >= DEATHS_MAX:
                left[job] = "lost"
            else:
                each.deaths, each.lease = (guilty, blameless), ""
                to = ";" if guilty >= 2 or each.line == ";" else "0"
                self._to_line(job, to, "f" if each.mark == "f" else "r")
                back.append(job)
        return back, left

    # -- operators and upkeep

    def _answered(self, reply: Reply, expected: Sequence[object]) -> None:
        said = [_text(v) for v in _list(reply)[1:]]
        expect(said == [str(e) for e in expected], "an operator's call", said, expected)

    def _retry(self, values: Values, _now_ms: int, reply: Reply, _: str) -> None:
        jobs = calls.ids(values)
        lines = values.words(len(jobs))
        done = [self.retry(j, line) for j, line in zip(jobs, lines, strict=True)]
        self._answered(reply, [int(d) for d in done])

    def _unpark(self, values: Values, _now_ms: int, reply: Reply, _: str) -> None:
        jobs = calls.ids(values)
        lines = values.words(len(jobs))
        done = [self.unpark(j, line) for j, line in zip(jobs, lines, strict=True)]
        self._answered(reply, [int(d) for d in done])

    def _promote(self, values: Values, _now_ms: int, reply: Reply, _: str) -> None:
        self._answered(reply, [int(self.promote(job)) for job in calls.ids(values)])

    def _remove(self, values: Values, _now_ms: int, reply: Reply, _: str) -> None:
        self._answered(reply, [self.remove(job) for job in calls.ids(values)])

    def _cancel(self, values: Values, now_ms: int, reply: Reply, word: str) -> None:
        job = values["id"]
        if word == "AGAIN":
            return
        expect(not word, "cancel was refused", reply)
        only, state = values["only"], self.jobs[job].state if job in self.jobs else "absent"
        if only and state not in (only, "absent"):
            self._answered(reply, [state])
            return
        said = self.cancel(job)
        if said == "cancelled":
            self.jobs[job].ended_ms = now_ms
            self.trim("failed", values.number("keep_failed"))
        self._answered(reply, [said])

    def _clean(self, values: Values, now_ms: int, reply: Reply, _: str) -> None:
        going: list[str] = []
        if not values["lease_ms"] or now_ms >= self.judge_from:
            until = now_ms - int(values["older_than_ms"])
            old = [j for j in self.ids(values["state"]) if self.jobs[j].ended_ms <= until]
            old.sort(key=lambda j: (self.jobs[j].ended_ms, j))
            going = old[: int(values["limit"])]
        for job in going:
            self._forget(job)
        expect(_list(reply)[1] == len(going), "clean", reply, going)


Call = Callable[[Twin, Values, int, Reply, str], list[Settled] | None]

TWINS: Final[Mapping[str, Call]] = {
    "register": Twin._register,
    "limit": Twin._limit,
    "add": Twin._add,
    "step": Twin._step,
    "resync": Twin._resync,
    "beat": Twin._beat,
    "reap": Twin._reap,
    "retry": Twin._retry,
    "unpark": Twin._unpark,
    "promote": Twin._promote,
    "remove": Twin._remove,
    "cancel": Twin._cancel,
    "clean": Twin._clean,
}
