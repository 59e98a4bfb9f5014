"""The classes of OCSF 1.8.0 that audit records become, and what its numbers stand for."""

from __future__ import annotations

from enum import Enum, IntEnum

__all__ = ["SCHEMA_VERSION", "Activity", "EventClass", "Severity", "activity_of"]

SCHEMA_VERSION = "1.8.0"


class EventClass(Enum):
    """A class: its category's number and name, its own number and name."""

    API = (6, "Application Activity", 6003, "API Activity")
    LIFECYCLE = (6, "Application Activity", 6002, "Application Lifecycle")
    ENTITY = (3, "Identity & Access Management", 3004, "Entity Management")
    FINDING = (2, "Findings", 2004, "Detection Finding")


class Activity(Enum):
    """What happened, as the classes number and name it."""

    CREATE = (1, "Create")
    READ = (2, "Read")
    UPDATE = (3, "Update")
    DELETE = (4, "Delete")
    OTHER = (99, "Other")


class Severity(IntEnum):
    """How bad it is."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


# The first word of an RPC's name says which it is.
_ACTIVITIES = {
    "Tokenize": Activity.CREATE,
    "Encrypt": Activity.CREATE,
    "Request": Activity.CREATE,
    "Freeze": Activity.CREATE,
    "Add": Activity.CREATE,
    "Detokenize": Activity.READ,
    "Decrypt": Activity.READ,
    "Lookup": Activity.READ,
    "Describe": Activity.READ,
    "Get": Activity.READ,
    "List": Activity.READ,
    "Tail": Activity.READ,
    "Verify": Activity.READ,
    "Checkpoint": Activity.READ,
    "Prove": Activity.READ,
    "Explain": Activity.READ,
    "Approve": Activity.UPDATE,
    "Deny": Activity.UPDATE,
    "Withdraw": Activity.UPDATE,
    "Review": Activity.UPDATE,
    "Revoke": Activity.UPDATE,
    "Lift": Activity.DELETE,
    "Retire": Activity.DELETE,
    "Erase": Activity.DELETE,
    "Expire": Activity.DELETE,
}


def activity_of(rpc: str) -> Activity:
    """Returns what an RPC does; refused calls that share a record are none of these."""
    ends = [at for at, character in enumerate(rpc) if at and character.isupper()]
    return _ACTIVITIES.get(rpc[: ends[0]] if ends else rpc, Activity.OTHER)
