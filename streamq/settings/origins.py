"""Where each setting came from: a file, a variable, an option, or the default."""

from collections.abc import Mapping

import msgspec

from streamq.lookup import DEFAULT


class Origins(msgspec.Struct, frozen=True):
    """By dotted key, as `queues.email.concurrency`; what is absent stands at its default."""

    by_key: Mapping[str, str]

    def of(self, key: str) -> str:
        """Of the key itself, else of the first key below it (a table), else `default`."""
        if key in self.by_key:
            return self.by_key[key]
        below = f"{key}."
        return next((self.by_key[k] for k in self.by_key if k.startswith(below)), DEFAULT)
