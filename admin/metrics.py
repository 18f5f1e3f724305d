"""`/metrics`: what a Prometheus scrapes, with a viewer's token."""

from starlette.responses import Response

from admin.call import Call
from streamq.metrics import metrics_text


async def metrics(call: Call) -> Response:
    """Within a second, whatever Redis does: then `streamq_redis_up` is 0."""
    kind, body = await metrics_text(call.app, call.request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": kind})
