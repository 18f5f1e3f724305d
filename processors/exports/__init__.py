"""The parts of an export of a user's data: what is in it, how it is read, what is written."""
