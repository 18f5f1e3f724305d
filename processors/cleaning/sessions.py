"""Sessions in Redis that would never end by themselves."""

from processors.cleaning.swept import Swept
from streamq.errors import InvalidName
from streamq.port import Port

ROOT = "sess:"
"""What the keys of sessions begin with, ours and the Node application's."""


async def sweep_sessions(redis: Port, *, dry_run: bool) -> Swept:
    """Deletes every session without an end. Those with one are Redis's to delete."""
    sessions = redis.shared(ROOT)
    deleted = skipped = 0
    async for name in sessions.scan():
        try:
            endless = await sessions.ms_left(name) is None
        except InvalidName:  # no session's name: somebody else's key
            skipped += 1
            continue
        if endless:
            deleted += 1 if dry_run else await sessions.delete(name)
    return Swept(deleted, skipped=skipped)
