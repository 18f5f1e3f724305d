"""What handlers share to reach the world outside: mail servers now; databases, object stores and
HTTP as they come.
"""
