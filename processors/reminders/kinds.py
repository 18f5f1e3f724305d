"""The kinds of reminders, the days on which each is due, and whom a mail can reach at all."""

from enum import StrEnum
from typing import Final

from processors.clients.mailbox import MailRefused, parse_mailbox


class ReminderType(StrEnum):
    """As in payloads and in `reminder_log.type`."""

    UPCOMING = "upcoming"
    OVERDUE = "overdue"
    FINAL_NOTICE = "final-notice"


UPCOMING_DAYS: Final = (3, 1)
"""Before the due day."""
OVERDUE_DAYS: Final = (1, 5, 10, 15)
"""After it."""
FINAL_NOTICE_DAYS: Final = 30
"""After it; the last word of ours."""
EXPIRING_DAYS: Final = 30
"""Before a contract's end: from then on its renter is to be told, once."""

# What the agency may switch off, by its `notification_preferences`.
PAYMENT_DUE: Final = "payment_due_tomorrow"
PAYMENT_OVERDUE: Final = "payment_overdue"
CONTRACT_EXPIRING: Final = "contract_expiring_30days"


def event_of(kind: ReminderType) -> str:
    return PAYMENT_DUE if kind is ReminderType.UPCOMING else PAYMENT_OVERDUE


def reachable(email: str | None) -> bool:
    """Whether a mail can be addressed to it: the column holds what people typed."""
    try:
        parse_mailbox(email or "", "email")
    except MailRefused:
        return False
    return True
