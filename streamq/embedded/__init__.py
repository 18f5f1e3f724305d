"""A Redis of its own for `streamq dev` and for tests, which never outlives its parent."""

from streamq.embedded.binary import ServerBinary, find_server, servers_on_path
from streamq.embedded.errors import EmbeddedServerError
from streamq.embedded.server import EmbeddedServer

__all__ = [
    "EmbeddedServer",
    "EmbeddedServerError",
    "ServerBinary",
    "find_server",
    "servers_on_path",
]
