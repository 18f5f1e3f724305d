"""All of it at work on one machine: `python -m processors.demo` runs `streamq dev`, adds a job of
each kind and every schedule once, and opens what comes of them."""
