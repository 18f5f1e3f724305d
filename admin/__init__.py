"""What operators see and do: the HTTP API, its access, its page. Stands on streamq's root alone."""
