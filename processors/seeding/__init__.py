"""Data to develop and test with: agencies, people, contracts, two years of rent; nobody is real."""

from processors.seeding.load import AlreadySeeded, Seeding, seed
from processors.seeding.size import Size

__all__ = ["AlreadySeeded", "Seeding", "Size", "seed"]
