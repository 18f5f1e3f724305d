"""Scripts that end early: the n-th `redis.call` of one fails, for every n, and all is put right.

Lua has no rollback, so what a script wrote before an error stays. Whatever n was, afterwards
`repair` makes the invariants hold; so does the same call again; and if nobody does either and the
worker dies, what was settled stays settled. Always, no job is lost and none is given out twice.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import msgspec
import redis

from streamq.errors import Refusal, ScriptFault
from streamq.job import WorkerId
from streamq.store.address import Address
from streamq.store.client import Arg, Reply, Wire
from streamq.store.mending import repair_queue
from streamq.store.scripts import Link, script
from tests.support import invariants
from tests.support.by_hand import LEASE_MS, ByHand, Rechecked, ends

CALLS_BEFORE_LEASE_MAX: Final = 30  # of a step that settles nothing
TURNS_MAX: Final = 50  # until a queue is worked off
NURSE: Final = WorkerId("nurse")

States = Mapping[str, str]
"""Id -> state, as `invariants.Dump.states` reads it."""

# Shadows `redis` for all that follows. The number comes last in ARGV, which no script reads: each
# takes as many values as its counts say. A failed pcall answers, as Redis would. 0: only counts.
PRELUDE: Final = b"""
local redis = (function(real)
  local seen, fatal = 0, tonumber(ARGV[#ARGV])
  local function counted(kind)
    return function(...)
      seen = seen + 1
      if fatal == 0 then
        real.call('INCR', '{q}:calls')
      end
      if seen ~= fatal then
        return real[kind](...)
      elseif kind == 'pcall' then
        return { err = 'ERR planted at call ' .. seen }
      end
      error('planted at call ' .. seen .. ': ' .. tostring((...)))
    end
  end
  return setmetatable({ call = counted('call'), pcall = counted('pcall') }, { __index = real })
end)(redis)
"""


class TornWire(Wire):
    """A connection on which one script fails at its n-th call."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(Address(url, "the test"), b"{q}", name="torn")
        self._script = script(name)
        self._sha = b""
        self.fail_at = 0

    async def call(
        self,
        what: str,
        command: Sequence[Arg],
        *,
        timeout_s: float = 10.0,
        generation: int | None = None,
    ) -> Reply:
        if command[0] == b"EVALSHA" and command[1] == self._script.sha:
            if not self._sha:
                source = PRELUDE + self._script.source
                self._sha = await super().call(what, ("SCRIPT", "LOAD", source))
            command = (command[0], self._sha, *command[2:], self.fail_at)
        return await super().call(what, command, timeout_s=timeout_s, generation=generation)


class Case(msgspec.Struct, frozen=True):
    """A state of a queue, and a call of a script on it.

    `call` gets what `prepare` returned, and is made several times on the same state: torn, again
    after that, and whole.
    """

    script: str
    prepare: Callable[[ByHand], Awaitable[Any]]
    call: Callable[[ByHand, Any], Awaitable[object]]
    leases_last: bool = False
    """It claims nothing: so, wherever it ends, what pends has its lease, and is settled again."""
    upkeep_heals: bool = False
    """`repair` leaves it to upkeep: a worker that is half dead is named and reaped as any other."""


class Torn(msgspec.Struct, frozen=True):
    """How a case went: the calls that its script makes, and those whose failure tore something."""

    calls: int
    torn_at: list[int]


class Stage:
    """The keys of one prepared queue, put back as they were as often as needed."""

    def __init__(self, raw: redis.Redis, hand: ByHand, prepared: Any) -> None:
        self.raw, self.hand, self.prepared = raw, hand, prepared
        self._dumps = {k: raw.dump(k) for k in hand.at.keys.all() if raw.exists(k)}
        self._now_ms, self._turns, self._adds = hand.now_ms, dict(hand.turns), hand.adds

    def set(self) -> None:
        self.rewind()
        with self.raw.pipeline(transaction=True) as pipe:
            pipe.delete(*self.hand.at.keys.all())
            for key, dump in self._dumps.items():
                pipe.restore(key, 0, dump)  # type: ignore[arg-type]  # it was there: just read
            pipe.execute()

    def rewind(self) -> None:
        """The numbers of the next calls are again those of the prepared state."""
        hand = self.hand
        hand.now_ms, hand.turns, hand.adds = self._now_ms, dict(self._turns), self._adds

    def clear(self) -> None:
        self.raw.delete(*self.hand.at.keys.all())

    def look(self) -> invariants.Dump:
        keys = self.hand.at.keys
        return invariants.read(self.raw, keys.prefix, keys.queue)

    def in_order(self, what: str) -> invariants.Dump:
        dump = self.look()
        wrong = invariants.violations(dump, counters=False)
        assert not wrong, f"{what}:\n  " + "\n  ".join(wrong[:20])
        return dump

    async def call_on(self, wire: Wire, case: Case) -> bool:
        """The case's call, on that connection; False if the script failed."""
        whole = self.hand.at
        self.hand.at = Link(wire, whole.keys)
        try:
            await case.call(self.hand, self.prepared)
        except ScriptFault as error:
            assert "planted" in str(error), error
            return False
        else:
            return True
        finally:
            self.hand.at = whole


async def upkeep(hand: ByHand) -> None:
    """What daemons do: a lease later all that is silent is named, judged and reaped."""
    await hand.register(NURSE)
    for worker in await hand.judge(NURSE):
        await hand.bury(worker)


async def work_off(hand: ByHand) -> list[str]:
    """Claims and completes all that there is, delayed and suspect too; the ids as claimed."""
    ran: list[str] = []
    await hand.open_up()
    for _ in range(TURNS_MAX):
        hand.later(LEASE_MS * 1_000)
        claims = await hand.claim(NURSE)
        claims += await hand.claim(NURSE, alone=True)
        if not claims:
            return ran
        ran += [c.id for c in claims]
        for first in range(0, len(claims), 200):
            await hand.turn(NURSE, outcomes=ends(claims[first : first + 200]))
    raise AssertionError(f"not worked off in {TURNS_MAX} turns")


class Aftermath:
    """A call that ended early, and the ways in which its traces may be met."""

    def __init__(self, what: str, case: Case, stage: Stage, before: States, whole: States) -> None:
        self.what, self.case, self.stage = what, case, stage
        self.before, self.whole = before, whole
        self.dump = stage.look()
        used = list(invariants.counters_rise_above_what_is_used(self.dump))
        assert not used, f"{what}: {used}"
        leased = {job.decode() for job in self.dump.hashes["leases"]}
        # Was running, is settled, and the whole call leaves nothing of it.
        self.gone = {
            job
            for job, state in before.items()
            if state == "active" and job not in whole and job not in leased
        }
        # What had reached the end that the whole call gives it, or lets go: it never runs again.
        self.settled: dict[str, str] = {
            job.decode(): state
            for state in invariants.ENDED
            for job in self.dump.zsets[state]
            if job in self.dump.jobs and whole.get(job.decode(), state) == state
        }
        # Had ended before, and the whole call does not make it wait: it may go, and not come back.
        self.settled |= {
            job: state
            for job, state in before.items()
            if state in invariants.ENDED and whole.get(job, state) == state
        }

    def expect_leases_last(self) -> None:
        for entry in self.dump.entries if self.case.leases_last else ():
            lease = self.dump.hashes["leases"].get(entry.job, b"")
            assert entry.given_to is None or lease.startswith(entry.lease_head), (
                f"{self.what}: {entry} pends without its lease, {lease!r}"
            )

    async def repaired(self) -> None:
        await self._repair("repaired")
        await self._runs_once("repaired")

    async def repeated(self) -> None:
        """The same call once more; that it is refused by now is well."""
        self.stage.rewind()
        with suppress(Refusal, Rechecked):
            await self.case.call(self.stage.hand, self.stage.prepared)
        now = await self._repair("repeated")
        missing = self.whole.keys() - now.keys()
        assert not missing, f"{self.what}, repeated: {missing} are not there"
        await self._runs_once("repeated")

    async def abandoned(self) -> None:
        """Nobody repairs or repeats; the worker dies, and the others go on as always."""
        hand = self.stage.hand
        await upkeep(hand)
        states = self.stage.look().states()
        open_jobs = {j for j in states if j.encode() in self.stage.look().jobs}
        open_jobs -= {j for j, s in states.items() if s in invariants.ENDED}
        ran = await work_off(hand)
        await repair_queue(hand.at)
        self.stage.in_order(f"{self.what}, abandoned, and repaired much later")
        ran += await work_off(hand)
        self._expect_none_twice("abandoned", ran)
        self.stage.in_order(f"{self.what}, abandoned, worked off")

    async def _repair(self, how: str) -> States:
        await repair_queue(self.stage.hand.at)
        if self.case.upkeep_heals:
            now = self.stage.look().states()
        else:
            now = self.stage.in_order(f"{self.what}, {how}").states()
        for job in self.before.keys() & self.whole.keys():
            assert job in now, f"{self.what}, {how}: {job} is lost"
        for job, state in now.items():
            allowed = {self.before.get(job), self.whole.get(job), "waiting"}
            if job in self.settled.keys() | self.gone:
                allowed = {self.settled.get(job)}
            assert state in allowed, f"{self.what}, {how}: {job} is {state}, not {allowed}"
        return now

    async def _runs_once(self, how: str) -> None:
        """Dead workers are reaped, the rest is worked off: each open job runs, and none twice."""
        await upkeep(self.stage.hand)
        states = self.stage.in_order(f"{self.what}, {how}, after upkeep").states()
        open_jobs = [j for j, state in states.items() if state not in invariants.ENDED]
        ran = await work_off(self.stage.hand)
        left = sorted(set(open_jobs) - set(ran))
        places = self.stage.look().places()
        assert not left, (
            f"{self.what}, {how}: not run: {[(j, places.get(j.encode())) for j in left]}"
        )
        self._expect_none_twice(how, ran)
        self.stage.in_order(f"{self.what}, {how}, worked off")

    def _expect_none_twice(self, how: str, ran: list[str]) -> None:
        again = (self.settled.keys() | self.gone) & set(ran)
        assert not again, f"{self.what}, {how}: {again} ran after they were settled"
        assert len(ran) == len(set(ran)), f"{self.what}, {how}: ran twice: {sorted(ran)}"


async def tear(url: str, raw: redis.Redis, hand: ByHand, case: Case) -> Torn:
    """Fails each call of the case's script in turn, and demands that all can be put right."""
    wire = TornWire(url, case.script)
    stage = Stage(raw, hand, await case.prepare(hand))
    before = stage.in_order("the prepared state").states()
    try:
        raw.delete("{q}:calls")
        assert await stage.call_on(wire, case), "fails with nothing planted"
        calls = int(cast(bytes, raw.getdel("{q}:calls")))
        whole = stage.in_order("after the whole call").states()
        torn_at: list[int] = []
        for n in range(1, calls + 1):
            wire.fail_at = n
            for way in (Aftermath.repaired, Aftermath.repeated, Aftermath.abandoned):
                stage.set()
                await stage.call_on(wire, case)
                torn = Aftermath(f"{case.script}, call {n} failed", case, stage, before, whole)
                torn.expect_leases_last()
                if way is Aftermath.repaired and invariants.violations(torn.dump, counters=False):
                    torn_at.append(n)
                await way(torn)
        return Torn(calls, torn_at)
    finally:
        stage.clear()
        await wire.close()


async def claim_without_lease(url: str, hand: ByHand, worker: WorkerId) -> None:
    """A claim of a worker that ends between its entry, which then pends, and its lease."""
    wire, whole = TornWire(url, "step"), hand.at
    try:
        for wire.fail_at in range(1, CALLS_BEFORE_LEASE_MAX):
            hand.at = Link(wire, whole.keys)
            with suppress(ScriptFault):
                await hand.claim(worker)
            hand.at = whole
            lines = whole.keys.lines.values()
            lengths = [await whole.wire.call("look", ("XLEN", line)) for line in lines]
            leases = await whole.wire.call("look", ("HLEN", whole.keys.names["leases"]))
            pending = [
                (await whole.wire.call("look", ("XPENDING", line, "workers")))[0]
                for line, length in zip(lines, lengths, strict=True)
                if length
            ]
            if sum(pending) > leases:
                return
        raise AssertionError("no call of step stands between an entry and its lease")
    finally:
        await wire.close()
