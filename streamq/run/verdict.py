"""What becomes of a dead worker's job that may not run again, and the sentence that says why.

Pure: from what `reap` tells of a job to the run that shall stand from now on.
"""

from typing import Final

import msgspec

from streamq.job import ERRORS_KEPT, NO_RUN, AttemptError, JobState, Run, WorkerId, unpack_run
from streamq.store.replies import Doomed, Verdict

SUSPECT: Final = "suspect: "
"""How the reason of a parked suspect begins: it runs again only where it is alone."""


def verdict_of(doomed: Doomed, *, worker: WorkerId, cause: str, now_ms: int) -> Verdict:
    """The verdict on a job of `worker`, whose process ended by `cause`.

    The errors of its attempts stay, and this death stands behind them; the last 20 are kept.
    """
    run = _run_of(doomed)
    if doomed.why == "removed":
        return Verdict(doomed, "removed", run)
    reason = _reason(doomed.why, cause)
    errors = run.errors
    if doomed.why != "cancelled":
        died = AttemptError(
            attempt=run.attempts + 1,
            type="WorkerDied",
            message=f"its process ended by {cause}",
            at_ms=now_ms,
            worker=worker,
        )
        errors = (*errors, died)[-ERRORS_KEPT:]
    state = JobState.PARKED if doomed.why == "suspect" else JobState.FAILED
    run = msgspec.structs.replace(
        run, reason=reason, worker=worker, finished_at_ms=now_ms, errors=errors
    )
    return Verdict(doomed, state.value, run)


def _run_of(doomed: Doomed) -> Run:
    try:
        return unpack_run(doomed.run)
    except msgspec.MsgspecError:
        # A run that nobody can read must not keep the job where it is for ever.
        return NO_RUN


def _reason(why: str, cause: str) -> str:
    match why:
        case "cancelled":
            return "cancelled"
        case "poison":
            return (
                f"poison: it ended its process ({cause}) though it ran alone, after two such deaths"
                " among others. Mend its handler or its data, then retry it."
            )
        case "suspect":
            return (
                f"{SUSPECT}for the second time its process ended ({cause}) while it ran. It runs on"
                " alone, in a process of its own, once there is a daemon:  streamq run"
            )
        case _:
            return (
                f"lost: its worker died again and again ({cause}), with nothing that speaks against"
                " the job itself. Look for what ends the workers, then retry it."
            )
