"""What a lane has to hand in: outcomes, and what running jobs said, until Redis has taken them.

What is `in_hand` rides in the turn under way; it is put back if that was not taken, or not surely.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from streamq.job import Claim, End, JobId, Outcome
from streamq.run.context import Notes
from streamq.run.judge import Attempt, flagged
from streamq.store.replies import Note, Recheck
from streamq.store.transitions import OUTCOMES_MAX

OUTCOMES_BYTES_MAX = 1 << 20  # of runs handed in with one turn

_RUN_BYTES_EACH_ERROR = 10_500  # message and traceback at their limits


class Outbox:
    """See the module."""

    def __init__(self) -> None:
        self.in_hand: list[Outcome] = []
        self.notes: list[Note] = []
        """In hand, too."""
        self.honoured: set[JobId] = set()
        """Of the outcomes in hand, those that obey an operator's flag as they are."""
        self._waiting: list[Outcome] = []
        self._flagged: set[JobId] = set()  # of those in hand or waiting, what a flag alone ended
        self._ended_by_flag: list[Outcome] = []

    def __len__(self) -> int:
        """Outcomes that are not in hand."""
        return len(self._waiting)

    def put(self, outcome: Outcome) -> None:
        self._waiting.append(outcome)

    @property
    def claims(self) -> list[Claim]:
        """Of the outcomes that are not in hand."""
        return [outcome.claim for outcome in self._waiting]

    def take(self, running: Iterable[Attempt]) -> None:
        """As much as one turn may carry comes in hand."""
        self.in_hand = self._batch()
        # Out before the call, not after: what finishes meanwhile belongs to the next turn.
        del self._waiting[: len(self.in_hand)]
        self.notes = _notes_of(running)

    def taken(self) -> None:
        """Redis has what was in hand."""
        if self._flagged:
            self._ended_by_flag += [o for o in self.in_hand if o.claim.id in self._flagged]
            self._flagged.difference_update(o.claim.id for o in self.in_hand)
        self.in_hand, self.notes = [], []
        self.honoured.clear()

    def ended_by_flag(self) -> list[Outcome]:
        """Those taken since the last call that only an operator's flag ended: no handler did."""
        taken, self._ended_by_flag = self._ended_by_flag, []
        return taken

    def put_back(self, running: Mapping[JobId, Attempt]) -> None:
        """Redis has not taken what was in hand, or it is not sure."""
        for note in self.notes:
            attempt = running.get(note.claim.id)
            if attempt is not None and attempt.claim is note.claim:
                Notes.put_back(attempt.context, note.run, note.log)
            else:
                self._add_log(note)
        self._waiting[:0] = self.in_hand
        self.in_hand, self.notes = [], []

    def recheck(self, reply: Recheck, now_ms: int) -> set[JobId]:
        """Takes out of hand what is not ours any more, and obeys operators' flags.

        The jobs among them that still run.
        """
        settled = {outcome.claim.id for outcome in self.in_hand}
        kept = []
        for outcome in self.in_hand:
            job = outcome.claim.id
            if job in reply.refused:
                self._flagged.discard(job)
                continue
            if job in reply.flagged:
                if outcome.end not in (End.COMPLETED, End.FAILED):
                    self._flagged.add(job)
                outcome = flagged(outcome, reply.flagged[job], now_ms)
                self.honoured.add(job)
            kept.append(outcome)
        self.in_hand = kept
        self.notes = [note for note in self.notes if note.claim.id not in reply.refused]
        return set(reply.refused) - settled

    def drop(self, jobs: Collection[JobId]) -> set[JobId]:
        """Lets go of outcomes that are not in hand; those that there were."""
        dropped = {o.claim.id for o in self._waiting if o.claim.id in jobs}
        if dropped:
            self._waiting = [o for o in self._waiting if o.claim.id not in dropped]
            self._flagged -= dropped
        return dropped

    def _batch(self) -> list[Outcome]:
        """As many as one turn may carry; at least one, if there is one."""
        batch: list[Outcome] = []
        size = 0
        for outcome in self._waiting[:OUTCOMES_MAX]:
            run = outcome.run
            if run is not None and (run.errors or run.result is not None):
                size += len(run.errors) * _RUN_BYTES_EACH_ERROR
                size += 0 if run.result is None else len(run.result)
                if size > OUTCOMES_BYTES_MAX and batch:
                    break
            batch.append(outcome)
        return batch

    def _add_log(self, note: Note) -> None:
        """Its attempt has ended meanwhile: the lines go before those that its outcome brings."""
        for i, outcome in enumerate(self._waiting):
            if outcome.claim is note.claim and note.log:
                self._waiting[i] = msgspec.structs.replace(outcome, log=note.log + outcome.log)


def _notes_of(running: Iterable[Attempt]) -> list[Note]:
    notes: list[Note] = []
    for attempt in running:
        if len(notes) >= OUTCOMES_MAX:
            break
        if Notes.pending(attempt.context):
            run, text = Notes.take(attempt.context)
            notes.append(Note(attempt.claim, run, text))
    return notes
