"""The application: ImobiBase's job handlers, what they share, and the helpers that queue their
jobs.
"""
