"""How much data there is to be."""

from enum import StrEnum


class Size(StrEnum):
    """Small is for tests and development, large for measuring."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"

    @property
    def agencies(self) -> int:
        return {Size.SMALL: 2, Size.MEDIUM: 20, Size.LARGE: 200}[self]

    @property
    def properties(self) -> int:
        """Of all agencies together."""
        return {Size.SMALL: 50, Size.MEDIUM: 5_000, Size.LARGE: 100_000}[self]

    @property
    def properties_each(self) -> int:
        return self.properties // self.agencies
