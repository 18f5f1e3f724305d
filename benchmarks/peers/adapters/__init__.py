"""One module for each peer written in Python: its two handlers, its way to add, its worker.

They run on the peer's own packages, so beside those they import the standard library, `tally` and
`adding`, and nothing else of ours.
"""
