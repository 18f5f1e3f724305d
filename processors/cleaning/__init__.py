"""The parts of a clean-up: one for each place that things pile up in."""
