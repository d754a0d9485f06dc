"""Explains why S3 refuses to give an upload: what its error's code says, and whether trying again may help.

Rule: only what is known to last is final. Anything else is looked at again for some minutes, because permissions, policies and
KMS grants take a while to be everywhere, and because S3 answers 403 for a version that is gone if the caller may not list.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from batchdrop.core.model.errors import UploadRejected, UploadWithheld

# S3's codes (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, 2026-11-22).
_ARCHIVED = "InvalidObjectState"
_OUR_OWN = frozenset(
    {
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
_KMS_PREFIX = "KMS."  # `KMS.DisabledException`, `KMS.NotFoundException` and their like, with status 400
_CODE = re.compile(r"<Code>([A-Za-z][A-Za-z0-9.]{0,60})</Code>")
_BAD_REQUEST = "400"  # what is wrong with a KMS key or a session token comes so
_MAY_BE_REFUSALS = (PermissionDeniedError, UnauthenticatedError, GenericError)


@contextmanager
def refusals_told(key: str, body_of_refusal: Callable[[], object] | None = None) -> Iterator[None]:
    """Raise UploadRejected for an upload that is gone or archived, and UploadWithheld for one that S3 refuses for now.

    The answer to a HEAD has no body and so no code: *body_of_refusal* then makes a request whose refusal has one. Where
    that one is answered, the refusal has passed already, and the next look will show it.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UploadRejected("unreadable", "This version of the object is gone.") from error
    except _MAY_BE_REFUSALS as error:
        answer = _answer(key, error)
        code = _code_of(answer)
        is_refusal = isinstance(error, PermissionDeniedError | UnauthenticatedError) or _is_known(code)
        if not code and body_of_refusal is not None and (is_refusal or answer.startswith(_BAD_REQUEST)):
            with refusals_told(key):
                body_of_refusal()
        if not is_refusal:
            raise  # a connection that broke, a fault of S3's own, or a request that it does not understand
        raise _refusal(code) from error


def _answer(key: str, error: Exception) -> str:
    """Return the status and the body of the answer that *error* is about, empty where there was no answer.

    The client's words begin with the key, which a person chose.
    """
    said = str(error).partition(f"for path {key}: ")[2] or str(error)
    return said.partition("Server returned non-2xx status code: ")[2].partition("\n\nDebug source:")[0]


def _code_of(answer: str) -> str:
    found = _CODE.search(answer)
    return found[1] if found else ""


def _is_known(code: str) -> bool:
    """Whether a code is about reading the object, whatever status it came with."""
    return code == _ARCHIVED or code in _OUR_OWN or code.startswith(_KMS_PREFIX)


def _refusal(code: str) -> UploadRejected:
    if code == _ARCHIVED:
        message = f"The object is archived ({code}), so it cannot be read. Restore it and retry the job, or drop a copy of it."
        return UploadRejected("unreadable", message)
    return UploadWithheld("unreadable", f"S3 refused to give the object to the submit function: {_why(code)}")


def _why(code: str) -> str:
    """Return what a code says, as a sentence that is true whatever the cause turns out to be."""
    if code in _OUR_OWN:
        return f"it does not accept the function's own credentials or clock ({code}). Nothing is wrong with the file."
    if code.startswith(_KMS_PREFIX):
        return f"the KMS key that the object is encrypted under cannot be used ({code})."
    return (
        f"access was denied ({code or 'no code'}). The version was deleted, or it is encrypted under a KMS key that the "
        "function may not use, or a policy keeps the function from reading it."
    )
