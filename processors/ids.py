"""Ids of rows: numbers or text in payloads, text in the database.

The application's columns are `varchar`; its documented examples say `invoiceId: 12345`.
"""

from typing import Annotated

from msgspec import Meta

Id = (
    Annotated[int, Meta(ge=0, le=2**63 - 1)]
    | Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
)
"""In a payload: `userId: 1` and `userId: "5f0c..."` are both one."""


def as_text(row_id: int | str) -> str:
    """As the database has it; `1` and `"1"` are the same row."""
    return str(row_id)
