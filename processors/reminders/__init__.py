"""Reminders of rent: which payments are to be reminded of, and what the renter is told."""
