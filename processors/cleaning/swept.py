"""What a clean-up came to."""

import msgspec


class Swept(msgspec.Struct, frozen=True):
    """Of one place. In a dry run: what would have gone."""

    deleted: int = 0
    bytes: int = 0
    skipped: int = 0
    """What was old and could not be deleted."""
    more: bool = False
    """Whether a limit of the run ended it: the next run goes on."""

    def __add__(self, other: "Swept") -> "Swept":
        return Swept(
            self.deleted + other.deleted,
            self.bytes + other.bytes,
            self.skipped + other.skipped,
            self.more or other.more,
        )
