"""Notifications: rows that a user finds, the live channel of open browsers, and web push."""
