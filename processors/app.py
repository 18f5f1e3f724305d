"""The whole application, as a worker runs it: `streamq run processors.app:app`.

A handler is there because it is imported here: one line each.
"""

from processors.imobibase import app
from processors.send_email import send_email

__all__ = ["app", "send_email"]
