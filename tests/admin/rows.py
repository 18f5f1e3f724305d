"""Rows of the table as tests call them."""

import re
from typing import Final

from admin.policy import Row

_SAMPLES: Final = {"name": "email", "queueName": "email", "scheduleName": "greet"}


def path_of(row: Row) -> str:
    """Its path, of a queue and a schedule that there are, and of jobs that are not."""
    return re.sub(r"\{(\w+)\}", lambda found: _SAMPLES.get(found[1], "nobody"), row.path)


def name_of(row: Row) -> str:
    return f"{row.method} {row.path}"
