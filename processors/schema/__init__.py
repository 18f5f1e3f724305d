"""The database's schema: numbered SQL files, and what applies them."""

from processors.schema.apply import SchemaChanged, apply_schema

__all__ = ["SchemaChanged", "apply_schema"]
