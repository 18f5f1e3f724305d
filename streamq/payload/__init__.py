"""A job's data: the type that an application writes, and its way into bytes and back.

Checked twice: at `add`, in the caller's stack, and again when a worker decodes it, for the two may
be of different builds. The bytes are msgpack and name no type: the handler's own type decides what
they become.
"""

from streamq.payload.codec import STORED_BYTES_MAX, Codec, Payload, codec_of
from streamq.payload.unfit import NESTING_MAX

__all__ = ["NESTING_MAX", "STORED_BYTES_MAX", "Codec", "Payload", "codec_of"]
