"""The ways in, one file a queue; whoever adds jobs imports them from `processors.queues`."""
