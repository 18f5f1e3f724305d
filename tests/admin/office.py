"""A small application with the nine queues of the contract, and jobs in every state for it."""

import asyncio

from streamq import App, Context, Fail, Payload, Secret
from streamq.testing import run_until_idle

QUEUES = (
    "backup", "cleanup", "email", "export", "integration-sync", "invoice", "notification",
    "payment-reminder", "report",
)  # fmt: skip

GREETING = {"to": "ana@example.com"}
"""What the schedule `greet` sends every hour."""


class Mail(Payload, rename="camel"):
    to: str
    subject: str = ""
    user_password: str = ""
    pin: Secret[str] = ""


class Office:
    """Registers its handlers with an App."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.may_end = asyncio.Event()
        """What `hold` waits for."""
        for name in QUEUES:
            app.declare_queue(name)

        @app.job("email", name="send-email", attempts=1)
        async def send_email(data: Mail, job: Context) -> dict[str, str]:
            job.log(f"to {data.to}, token=abc123")
            if data.to == "nobody":
                raise Fail("no such person, password=hunter2")
            if data.to == "bug":
                raise ValueError("a bug")
            return {"messageId": "m-1", "apiKey": "k-1"}

        @app.job("report", name="hold")
        async def hold(data: object) -> str:
            await self.may_end.wait()
            return "at last"

        app.schedule("greet", queue="email", job="send-email", every="1h", data=GREETING)
        self.send_email = send_email
        self.hold = hold

    async def in_every_state(self) -> None:
        """A job of `email` in each state but active, its state for an id."""
        await self.send_email.add(Mail("ana@example.com", "Hi"), id="completed")
        await self.send_email.add(Mail("nobody", user_password="hunter2"), id="failed")
        await self.app.queue("email").add("nobodys", {}, id="parked", force=True)
        await run_until_idle(self.app, "email")
        await self.send_email.add(Mail("ana@example.com"), id="waiting")
        await self.send_email.add(Mail("ana@example.com"), id="delayed", delay="1h")

    async def fail(self, count: int) -> None:
        """So many failed jobs in `email`."""
        for i in range(count):
            await self.send_email.add(Mail("nobody"), id=f"f{i}")
        await run_until_idle(self.app, "email")
