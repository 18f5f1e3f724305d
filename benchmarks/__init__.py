"""How fast streamq is, beside a bare script that does the same work on the same server."""
