"""streamq: background jobs on Redis Streams."""
