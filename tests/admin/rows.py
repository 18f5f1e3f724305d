"""Rows of the table as tests call them."""

import re
from typing import Final

from admin.policy import Row

_SAMPLES: Final = {"name": "email", "queueName": "email"}


def path_of(row: Row) -> str:
    """Its path, of the queue `email` and of things that are not there."""
    return re.sub(r"\{(\w+)\}", lambda found: _SAMPLES.get(found[1], "nobody"), row.path)


def name_of(row: Row) -> str:
    return f"{row.method} {row.path}"
