"""The words of a synchronisation: who with, which way, and of what."""

from enum import StrEnum


class Provider(StrEnum):
    ZAPIER = "zapier"
    SALESFORCE = "salesforce"
    HUBSPOT = "hubspot"
    PORTAL = "real-estate-portal"


class Action(StrEnum):
    SYNC = "sync"
    """Pull, then push: what they changed is here before ours goes out."""
    PUSH = "push"
    PULL = "pull"


class EntityType(StrEnum):
    PROPERTY = "property"
    LEAD = "lead"
    CONTRACT = "contract"
