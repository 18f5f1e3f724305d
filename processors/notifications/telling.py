"""Pushes a notification to the browsers of users, and writes down who was told."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from processors.imobibase import Shared, app
from processors.notifications import inbox
from processors.notifications.inbox import Note, Subscription, Untold
from processors.notifications.push import End, Pushed, message_of, push_all
from processors.notifications.vapid import Vapid

PUSHES_HOUR_MAX: Final = 60
"""To one user. What is more is in the list and in open browsers, but wakes no telephone."""
REASONS_MAX: Final = 20
_CAPPED: Final = "capped"


class Telling:
    """What became of the pushes of one attempt. `last`: what would go out later never will."""

    def __init__(
        self, shared: Shared, vapid: Vapid, note: Note, event: str | None, *, last: bool
    ) -> None:
        self.last = last
        self.counts: Counter[str] = Counter()
        self.reasons: list[str] = []
        self.after: timedelta | None = None
        """The longest that a push service asks us to wait."""
        self._shared = shared
        self._vapid = vapid
        self._note = note
        self._event = event

    @property
    def later(self) -> int:
        return self.counts[End.LATER]

    @property
    def no_key_of_ours(self) -> bool:
        return self.counts[End.OURS] > 0 and not self.counts[End.TAKEN]

    @property
    def why(self) -> str:
        return self.reasons[0] if self.reasons else "no reason was given"

    async def push(self, rows: Sequence[Untold]) -> None:
        """To all browsers of these rows' users; who has no push coming later was told."""
        ids = {row.user_id: row.id for row in rows}
        async with self._shared.database.transaction() as work:
            found = await inbox.subscriptions(work, list(ids), self._event)
        to = [
            (one, message_of(self._note, ids[one.user_id])) for one in await self._below_cap(found)
        ]
        pushed = await push_all(self._shared.http, self._vapid, to)
        self._count(pushed)
        late = set() if self.last else {one.subscription.user_id for one in _of(pushed, End.LATER)}
        failed = [*_of(pushed, End.REFUSED), *(_of(pushed, End.LATER) if self.last else ())]
        async with self._shared.database.transaction() as work:
            await inbox.told(work, [row.id for row in rows if row.user_id not in late])
            await inbox.alive(work, _ids(_of(pushed, End.TAKEN)))
            await inbox.gone(work, _ids(_of(pushed, End.GONE)))
            await inbox.failed(work, _ids(failed))

    async def _below_cap(self, found: Sequence[Subscription]) -> list[Subscription]:
        users = {one.user_id for one in found}
        capped = {
            user
            for user in users
            if await app.redis.increment(f"push:{user}", expire=timedelta(hours=1))
            > PUSHES_HOUR_MAX
        }
        if capped:
            self.counts[_CAPPED] += sum(one.user_id in capped for one in found)
        return [one for one in found if one.user_id not in capped]

    def _count(self, pushed: Sequence[Pushed]) -> None:
        for one in pushed:
            self.counts[one.end] += 1
            if one.reason and len(self.reasons) < REASONS_MAX:
                self.reasons.append(one.reason)
            if one.after is not None:
                self.after = max(self.after or one.after, one.after)


def _of(pushed: Sequence[Pushed], end: End) -> list[Pushed]:
    return [one for one in pushed if one.end is end]


def _ids(pushed: Sequence[Pushed]) -> list[str]:
    return [one.subscription.id for one in pushed]
