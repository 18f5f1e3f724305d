"""The nine schedules, now: each adds the job of its schedule beside the slots; the job's id."""

from processors.schedules import run_now, run_now_sync


async def run_payment_reminders() -> str:
    return await run_now("payment-reminders")


def run_payment_reminders_sync() -> str:
    return run_now_sync("payment-reminders")


async def run_daily_reports() -> str:
    return await run_now("daily-reports")


def run_daily_reports_sync() -> str:
    return run_now_sync("daily-reports")


async def run_weekly_reports() -> str:
    return await run_now("weekly-reports")


def run_weekly_reports_sync() -> str:
    return run_now_sync("weekly-reports")


async def run_monthly_reports() -> str:
    return await run_now("monthly-reports")


def run_monthly_reports_sync() -> str:
    return run_now_sync("monthly-reports")


async def run_cleanup_sessions() -> str:
    return await run_now("cleanup-sessions")


def run_cleanup_sessions_sync() -> str:
    return run_now_sync("cleanup-sessions")


async def run_cleanup_logs() -> str:
    return await run_now("cleanup-logs")


def run_cleanup_logs_sync() -> str:
    return run_now_sync("cleanup-logs")


async def run_integration_sync() -> str:
    return await run_now("integration-sync")


def run_integration_sync_sync() -> str:
    return run_now_sync("integration-sync")


async def run_database_backup() -> str:
    return await run_now("database-backup")


def run_database_backup_sync() -> str:
    return run_now_sync("database-backup")


async def run_cleanup_temp_files() -> str:
    return await run_now("cleanup-temp-files")


def run_cleanup_temp_files_sync() -> str:
    return run_now_sync("cleanup-temp-files")
