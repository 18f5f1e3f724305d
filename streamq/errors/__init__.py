"""Every error that streamq raises: one tree, so that `except StreamqError` means any trouble of ours.

    StreamqError
    ├── InvalidInput (ValueError)        what the caller handed in; nothing was sent
    │   ├── UnknownQueue          SQ201  ├── InvalidDuration       SQ207
    │   ├── UnknownJobName        SQ206  ├── BareNumber (TypeError) SQ207
    │   ├── InvalidPayload        SQ203  ├── InvalidName           SQ208
    │   ├── NotSerialisable       SQ204  ├── OutOfRange            SQ209
    │   ├── PayloadTooLarge       SQ205  ├── InvalidSize           SQ214
    │   ├── SyncInLoop            SQ212  └── InvalidBackoff        SQ215
    ├── ConfigError                      settings and the app: exit 2, or 4 where said
    │   ├── UnknownSetting        SQ310  ├── InvalidSetting        SQ311
    │   ├── UnreadableSettings    SQ312  ├── DuplicateHandler      SQ302
    │   ├── AppNotImportable      SQ301  ├── MissingExtra          SQ601
    │   ├── PortInUse             SQ602  └── UnfitPayloadType      SQ303
    ├── StoreError                       Redis, or what it answered: exit 3
    │   ├── RedisUnavailable      SQ101  ├── EvictingPolicy        SQ110
    │   ├── RedisRefusedPassword  SQ102  ├── RedisTooOld           SQ111
    │   ├── RedisSpeaksTls        SQ103  ├── OutcomeUnknown        SQ104
    │   ├── NotApplied            SQ105  ├── ScriptFault           SQ106
    │   └── Refusal                      a script's own word, by `refusal(...)`
    │       ├── Gone        GONE     SQ120  ├── WrongState  STATE  SQ124
    │       ├── StaleTurn   STALE    SQ121  ├── OverLimit   LIMIT  SQ125
    │       ├── LayoutNewer LAYOUT   SQ112  ├── CallAgain   AGAIN  SQ126
    │       ├── StoreFull   FULL     SQ123  └── VersionConflict VERSION  SQ122
    ├── LeaseLost                 SQ127  this attempt may no longer settle its job
    ├── Undecodable               SQ213  a stored payload does not fit its handler: the job is parked
    ├── NoHandler                 SQ202  no worker knows this job's name: the job is parked
    ├── LoopStoodStill            SQ211  a handler held the event loop (logged, not raised)
    ├── ResultError                      from `result()`
    │   ├── JobFailed             SQ251  exit 5
    │   ├── ResultTimeout (TimeoutError) SQ252
    │   ├── ResultGone            SQ253
    │   └── JobNotFound (LookupError)    SQ254
    └── Verdict                          what handlers raise, see verdicts.py: Fail, Retry, Snooze

A message says what happened, to which id or value, and what to do; the same facts are attributes.
"""

from streamq.errors.config import (
    AppNotImportable,
    ConfigError,
    DuplicateHandler,
    InvalidSetting,
    MissingExtra,
    PortInUse,
    UnfitPayloadType,
    UnknownSetting,
    UnreadableSettings,
)
from streamq.errors.inputs import (
    NAME_SETS,
    BareNumber,
    InvalidBackoff,
    InvalidDuration,
    InvalidInput,
    InvalidName,
    InvalidPayload,
    InvalidSize,
    NotSerialisable,
    OutOfRange,
    PayloadTooLarge,
    SyncInLoop,
    UnknownJobName,
    UnknownQueue,
)
from streamq.errors.jobs import (
    JobFailed,
    JobNotFound,
    LeaseLost,
    LoopStoodStill,
    NoHandler,
    ResultError,
    ResultGone,
    ResultTimeout,
    Undecodable,
)
from streamq.errors.root import (
    StreamqError,
)
from streamq.errors.store import (
    REFUSALS,
    CallAgain,
    EvictingPolicy,
    Gone,
    LayoutNewer,
    NotApplied,
    OutcomeUnknown,
    OverLimit,
    RedisRefusedPassword,
    RedisSpeaksTls,
    RedisTooOld,
    RedisUnavailable,
    Refusal,
    ScriptFault,
    StaleTurn,
    StoreError,
    StoreFull,
    VersionConflict,
    WrongState,
    refusal,
)
from streamq.errors.wording import (
    show_bytes,
)

__all__ = [
    "NAME_SETS",
    "REFUSALS",
    "AppNotImportable",
    "BareNumber",
    "CallAgain",
    "ConfigError",
    "DuplicateHandler",
    "EvictingPolicy",
    "Gone",
    "InvalidBackoff",
    "InvalidDuration",
    "InvalidInput",
    "InvalidName",
    "InvalidPayload",
    "InvalidSetting",
    "InvalidSize",
    "JobFailed",
    "JobNotFound",
    "LayoutNewer",
    "LeaseLost",
    "LoopStoodStill",
    "MissingExtra",
    "NoHandler",
    "NotApplied",
    "NotSerialisable",
    "OutOfRange",
    "OutcomeUnknown",
    "OverLimit",
    "PayloadTooLarge",
    "PortInUse",
    "RedisRefusedPassword",
    "RedisSpeaksTls",
    "RedisTooOld",
    "RedisUnavailable",
    "Refusal",
    "ResultError",
    "ResultGone",
    "ResultTimeout",
    "ScriptFault",
    "StaleTurn",
    "StoreError",
    "StoreFull",
    "StreamqError",
    "SyncInLoop",
    "Undecodable",
    "UnfitPayloadType",
    "UnknownJobName",
    "UnknownQueue",
    "UnknownSetting",
    "UnreadableSettings",
    "VersionConflict",
    "WrongState",
    "refusal",
    "show_bytes",
]
