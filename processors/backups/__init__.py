"""The parts of a backup: the programs that make it, the dump, the files beside it, what is kept."""
