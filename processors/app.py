"""The whole application, as a worker runs it: `streamq run processors.app:app`.

A handler is there because it is imported here: one line each. So are the schedules.
"""

from processors.back_up_database import back_up_database
from processors.build_report import build_report
from processors.clean_up import clean_up
from processors.export_data import export_data
from processors.imobibase import app
from processors.notify import notify
from processors.remind_payments import remind_payments, tell_of_end
from processors.render_invoice import render_invoice
from processors.schedules import SCHEDULES
from processors.send_email import send_email
from processors.sync_integration import sync_integration

__all__ = [
    "SCHEDULES",
    "app",
    "back_up_database",
    "build_report",
    "clean_up",
    "export_data",
    "notify",
    "remind_payments",
    "render_invoice",
    "send_email",
    "sync_integration",
    "tell_of_end",
]
