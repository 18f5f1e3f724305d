"""An admin that really listens: uvicorn in a thread of its own, on a port that was free."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from admin.app import AdminApp
from admin.serving import AdminServer, address_of, listen, server_of
from tests.support.waiting import until

END_LIMIT_S: Final = 20.0


class Running:
    """An admin while it serves."""

    def __init__(self, admin: AdminApp, url: str, port: int, server: AdminServer) -> None:
        self.admin = admin
        self.url = url
        self.port = port
        self.server = server


@contextmanager
def running(admin: AdminApp) -> Iterator[Running]:
    """Serves until the end of the block, and closes what its loop opened of the App."""
    listening = listen("127.0.0.1", 0)
    server = server_of(admin)

    async def serve() -> None:
        try:
            await server.serve(sockets=[listening])
        finally:
            await admin.site.app.close()

    thread = threading.Thread(target=asyncio.run, args=[serve()], name="admin")
    url, port = address_of(listening), listening.getsockname()[1]
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive(), "it serves")
        yield Running(admin, url, port, server)
    finally:
        server.should_exit = True
        thread.join(END_LIMIT_S)
        assert not thread.is_alive(), "it did not stop"
