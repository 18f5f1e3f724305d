"""Every error that streamq raises: one tree, so that `except StreamqError` is any trouble of ours.

    StreamqError
    ├── InvalidInput (ValueError)          what the caller handed in; nothing was sent; exit 2
    │   ├── UnknownQueue            SQ201
    │   ├── InvalidPayload          SQ203  a field of the wrong type, missing or unknown
    │   ├── NotSerialisable         SQ204  an object, NaN, half a surrogate pair, endless nesting
    │   ├── PayloadTooLarge         SQ205
    │   ├── UnknownJobName          SQ206
    │   ├── InvalidDuration         SQ207
    │   ├── BareNumber (TypeError)  SQ207  a duration without a unit
    │   ├── InvalidName             SQ208  of a queue, a job, an id
    │   ├── OutOfRange              SQ209  priority, attempts and the like
    │   ├── SyncInLoop (RuntimeError) SQ212
    │   ├── InvalidSize             SQ214
    │   ├── InvalidBackoff          SQ215
    │   ├── InvalidMetric           SQ216
    │   ├── InvalidCron             SQ401
    │   ├── UnknownTimeZone         SQ402
    │   ├── InvalidSchedule         SQ403
    │   └── UnknownSchedule (LookupError) SQ404
    ├── ConfigError                        it cannot start like this; exit 2, or 4 where said
    │   ├── AppNotImportable        SQ301  exit 4
    │   ├── DuplicateHandler        SQ302
    │   ├── UnfitPayloadType        SQ303
    │   ├── UnknownSetting          SQ310
    │   ├── InvalidSetting          SQ311
    │   ├── UnreadableSettings      SQ312
    │   ├── MissingExtra (ImportError) SQ601
    │   └── PortInUse               SQ602
    ├── StoreError                         Redis, or what it answered; exit 3, or 1 where said
    │   ├── RedisUnavailable        SQ101
    │   ├── RedisRefusedPassword    SQ102
    │   ├── RedisSpeaksTls          SQ103
    │   ├── OutcomeUnknown          SQ104  sent, and no reply
    │   ├── NotApplied              SQ105  refused before anything was done
    │   ├── ScriptFault             SQ106  exit 1
    │   ├── EvictingPolicy          SQ110
    │   ├── RedisTooOld             SQ111
    │   └── Refusal                        a script's own word, see `refusal`; exit 1
    │       ├── LayoutNewer         SQ112  LAYOUT; exit 3
    │       ├── Gone                SQ120  GONE
    │       ├── StaleTurn           SQ121  STALE
    │       ├── VersionConflict     SQ122  VERSION
    │       ├── StoreFull           SQ123  FULL
    │       ├── WrongState          SQ124  STATE
    │       ├── OverLimit           SQ125  LIMIT
    │       └── CallAgain           SQ126  AGAIN
    ├── LeaseLost                   SQ127  this attempt may no longer settle its job
    ├── NoHandler                   SQ202  no worker knows the job's name: parked
    ├── PlainFunction               SQ210  a handler runs in a thread: logged, not raised
    ├── LoopStoodStill              SQ211  a handler held the event loop: logged, not raised
    ├── Undecodable                 SQ213  stored bytes do not fit the handler: parked
    ├── ResultError                        what `result()` raises
    │   ├── JobFailed               SQ251  exit 5
    │   ├── ResultTimeout (TimeoutError) SQ252
    │   ├── ResultGone              SQ253
    │   └── JobNotFound (LookupError) SQ254
    ├── Verdict                            what handlers raise: `streamq.verdicts`
    │   ├── Fail
    │   ├── Retry
    │   └── Snooze
    └── EmbeddedServerError                no server of our own: `streamq.embedded`; exit 3

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
    InvalidCron,
    InvalidDuration,
    InvalidInput,
    InvalidMetric,
    InvalidName,
    InvalidPayload,
    InvalidSchedule,
    InvalidSize,
    Named,
    NotSerialisable,
    OutOfRange,
    PayloadTooLarge,
    SyncInLoop,
    UnknownJobName,
    UnknownQueue,
    UnknownSchedule,
    UnknownTimeZone,
)
from streamq.errors.jobs import (
    JobFailed,
    JobNotFound,
    LeaseLost,
    LoopStoodStill,
    NoHandler,
    PlainFunction,
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
    "InvalidCron",
    "InvalidDuration",
    "InvalidInput",
    "InvalidMetric",
    "InvalidName",
    "InvalidPayload",
    "InvalidSchedule",
    "InvalidSetting",
    "InvalidSize",
    "JobFailed",
    "JobNotFound",
    "LayoutNewer",
    "LeaseLost",
    "LoopStoodStill",
    "MissingExtra",
    "Named",
    "NoHandler",
    "NotApplied",
    "NotSerialisable",
    "OutOfRange",
    "OutcomeUnknown",
    "OverLimit",
    "PayloadTooLarge",
    "PlainFunction",
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
    "UnknownSchedule",
    "UnknownSetting",
    "UnknownTimeZone",
    "UnreadableSettings",
    "VersionConflict",
    "WrongState",
    "refusal",
    "show_bytes",
]
