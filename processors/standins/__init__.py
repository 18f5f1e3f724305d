"""Servers of our own for development and tests, where none is named: PostgreSQL and an S3."""
