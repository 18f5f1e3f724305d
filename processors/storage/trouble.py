"""What trouble with S3 means to a job: try again, or fail with a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from streamq import Fail

_FOR_GOOD: Final = {
    "AccessDenied": "our key may not do that there: grant it, or set another AWS_ACCESS_KEY_ID",
    "InvalidAccessKeyId": "AWS_ACCESS_KEY_ID is not known there",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY is not the one of AWS_ACCESS_KEY_ID",
    "NoSuchBucket": "there is no such bucket: make it, or set BACKUP_BUCKET and EXPORT_BUCKET",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION",
}
_MISSING: Final = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchUpload"})
_SAID_CHARS_MAX: Final = 300


class StorageUnavailable(Exception):
    """Not now: not reached, too slow, 5xx, a body that broke off. It may go through later."""


class ObjectMissing(LookupError):
    """There is no object of that key (any more)."""


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turns botocore's errors into ObjectMissing, StorageUnavailable or Fail; `what` names it."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError as error:
        raise Fail(
            f"{what}: no key for S3. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
    except ClientError as error:
        about = error.response.get("Error", {})
        code, message = str(about.get("Code", "")), str(about.get("Message", ""))
        if code in _MISSING:
            raise ObjectMissing(f"{what}: there is no such object") from error
        if code in _FOR_GOOD:
            raise Fail(f"{what}: {_FOR_GOOD[code]} ({code})") from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        said = f"{what}: S3 said {status} {code}: {message}"[:_SAID_CHARS_MAX]
        # Of those in the clear, 403 is a clock that is off or a key that has run out, and may pass.
        if 400 <= status < 500 and status not in (403, 408, 409, 429):
            raise Fail(said) from error
        raise StorageUnavailable(said) from error
    except (BotoCoreError, OSError) as error:
        raise StorageUnavailable(f"{what}: {error}"[:_SAID_CHARS_MAX]) from error
