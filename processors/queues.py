"""The ways in, by name: `await queue_email(...)`. Each has a blocking twin, and gives the job's id.

A number for `delay` is milliseconds here, as everywhere in the application; `priority` is 1 (first)
to 10. Data is checked where it is added, in the caller's stack: InvalidPayload says what is wrong.

A payload's `...JobData` is its name in the Node application.
"""

from processors.back_up_database import BackUpDatabase
from processors.build_report import BuildReport
from processors.clean_up import CleanUp
from processors.enqueue.adding import create_queue
from processors.enqueue.backup import queue_backup, queue_backup_sync
from processors.enqueue.cleanup import queue_cleanup, queue_cleanup_sync
from processors.enqueue.email import (
    WELCOME_SUBJECT,
    queue_bulk_email,
    queue_bulk_email_sync,
    queue_email,
    queue_email_sync,
    queue_password_reset_email,
    queue_password_reset_email_sync,
    queue_verification_email,
    queue_verification_email_sync,
    queue_welcome_email,
    queue_welcome_email_sync,
)
from processors.enqueue.export import queue_export, queue_export_sync
from processors.enqueue.integration import queue_integration_sync, queue_integration_sync_sync
from processors.enqueue.invoice import (
    queue_batch_invoices,
    queue_batch_invoices_sync,
    queue_contract_invoice,
    queue_contract_invoice_sync,
    queue_invoice,
    queue_invoice_sync,
)
from processors.enqueue.notification import queue_notification, queue_notification_sync
from processors.enqueue.reminder import (
    queue_batch_payment_reminders,
    queue_batch_payment_reminders_sync,
    queue_final_notice,
    queue_final_notice_sync,
    queue_overdue_payment_reminder,
    queue_overdue_payment_reminder_sync,
    queue_payment_reminder,
    queue_payment_reminder_sync,
    queue_upcoming_payment_reminder,
    queue_upcoming_payment_reminder_sync,
)
from processors.enqueue.report import (
    queue_batch_reports,
    queue_batch_reports_sync,
    queue_custom_report,
    queue_custom_report_sync,
    queue_daily_report,
    queue_daily_report_sync,
    queue_monthly_report,
    queue_monthly_report_sync,
    queue_report,
    queue_report_sync,
    queue_weekly_report,
    queue_weekly_report_sync,
)
from processors.enqueue.schedules import (
    run_cleanup_logs,
    run_cleanup_logs_sync,
    run_cleanup_sessions,
    run_cleanup_sessions_sync,
    run_cleanup_temp_files,
    run_cleanup_temp_files_sync,
    run_daily_reports,
    run_daily_reports_sync,
    run_database_backup,
    run_database_backup_sync,
    run_integration_sync,
    run_integration_sync_sync,
    run_monthly_reports,
    run_monthly_reports_sync,
    run_payment_reminders,
    run_payment_reminders_sync,
    run_weekly_reports,
    run_weekly_reports_sync,
)
from processors.export_data import ExportData
from processors.imobibase import QueueName
from processors.notify import Notify
from processors.remind_payments import RemindPayment
from processors.render_invoice import RenderInvoice
from processors.send_email import SendEmail
from processors.sync_integration import SyncIntegration

BackupJobData = BackUpDatabase
CleanupJobData = CleanUp
EmailJobData = SendEmail
IntegrationSyncJobData = SyncIntegration
ExportJobData = ExportData
InvoiceJobData = RenderInvoice
NotificationJobData = Notify
PaymentReminderJobData = RemindPayment
ReportJobData = BuildReport

__all__ = [
    "WELCOME_SUBJECT",
    "BackUpDatabase",
    "BackupJobData",
    "BuildReport",
    "CleanUp",
    "CleanupJobData",
    "EmailJobData",
    "ExportData",
    "ExportJobData",
    "IntegrationSyncJobData",
    "InvoiceJobData",
    "NotificationJobData",
    "Notify",
    "PaymentReminderJobData",
    "QueueName",
    "RemindPayment",
    "RenderInvoice",
    "ReportJobData",
    "SendEmail",
    "SyncIntegration",
    "create_queue",
    "queue_backup",
    "queue_backup_sync",
    "queue_batch_invoices",
    "queue_batch_invoices_sync",
    "queue_batch_payment_reminders",
    "queue_batch_payment_reminders_sync",
    "queue_batch_reports",
    "queue_batch_reports_sync",
    "queue_bulk_email",
    "queue_bulk_email_sync",
    "queue_cleanup",
    "queue_cleanup_sync",
    "queue_contract_invoice",
    "queue_contract_invoice_sync",
    "queue_custom_report",
    "queue_custom_report_sync",
    "queue_daily_report",
    "queue_daily_report_sync",
    "queue_email",
    "queue_email_sync",
    "queue_export",
    "queue_export_sync",
    "queue_final_notice",
    "queue_final_notice_sync",
    "queue_integration_sync",
    "queue_integration_sync_sync",
    "queue_invoice",
    "queue_invoice_sync",
    "queue_monthly_report",
    "queue_monthly_report_sync",
    "queue_notification",
    "queue_notification_sync",
    "queue_overdue_payment_reminder",
    "queue_overdue_payment_reminder_sync",
    "queue_password_reset_email",
    "queue_password_reset_email_sync",
    "queue_payment_reminder",
    "queue_payment_reminder_sync",
    "queue_report",
    "queue_report_sync",
    "queue_upcoming_payment_reminder",
    "queue_upcoming_payment_reminder_sync",
    "queue_verification_email",
    "queue_verification_email_sync",
    "queue_weekly_report",
    "queue_weekly_report_sync",
    "queue_welcome_email",
    "queue_welcome_email_sync",
    "run_cleanup_logs",
    "run_cleanup_logs_sync",
    "run_cleanup_sessions",
    "run_cleanup_sessions_sync",
    "run_cleanup_temp_files",
    "run_cleanup_temp_files_sync",
    "run_daily_reports",
    "run_daily_reports_sync",
    "run_database_backup",
    "run_database_backup_sync",
    "run_integration_sync",
    "run_integration_sync_sync",
    "run_monthly_reports",
    "run_monthly_reports_sync",
    "run_payment_reminders",
    "run_payment_reminders_sync",
    "run_weekly_reports",
    "run_weekly_reports_sync",
]
