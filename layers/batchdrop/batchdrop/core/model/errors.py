r"""Defines the errors, by who must act.

BatchdropError
  UploadRejected        the person who dropped: the whole upload cannot be used; one notification, nothing was spent
    UploadWithheld      no one yet: S3 refuses to give the upload for now; rejected only after some minutes
  ItemRefused           the person who dropped: this record cannot be sent; all others are
  Conflict              no one: another worker wrote the ledger row first; read again and decide again
  LeaseLost             no one: another worker has the work; stop quietly
  Superseded            no one: the answer belongs to an earlier create call of the shard
  DiskFull              the operator: the function's disk is smaller than what has to be on it
  OutOfTime             no one: the function's time ends; the due index brings the work back
  NotYet                no one: a thing that should be there is not visible yet; the due index brings the work back
  ProviderError
    KeyMissing          the operator: the secret has no value, or none that is a key
    KeyRefused          the operator: the provider refuses the key or the account (401, 403, quota, billing)
    ProviderRefused     it depends on what it concerns: a definite no to this call, which asking again does not change
    NotAtProvider       no one yet: the provider does not know this id under this key (404, 410)
    ProviderUnavailable no one: the provider or the way to it fails for now
      ProviderSilent    no one: it did not answer in time, which held up the caller
    DownloadCut         no one: a download ended early; again from the start
  IllegalTransition     us: a state met an event that it does not know
  BrokenState           us: a ledger row or object that our code cannot have written
"""


class BatchdropError(Exception):
    """Anything that Batchdrop raises on purpose."""


class UploadRejected(BatchdropError):
    """The upload as a whole cannot be used; the message is for the person who dropped it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class UploadWithheld(UploadRejected):
    """S3 refuses to give the upload, for a reason that may pass. Looked at again until the limit; then it is as good as gone."""


class ItemRefused(BatchdropError):
    """This record cannot be sent; the message is for the person who dropped it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Conflict(BatchdropError):
    """A conditional write lost: a row is not as it was read."""


class LeaseLost(BatchdropError):
    """Another worker holds the lease."""


class Superseded(BatchdropError):
    """The event has a ticket that is no longer the shard's."""


class DiskFull(BatchdropError):
    """There is no space left on the function's disk for something that has to be there."""


class OutOfTime(BatchdropError):
    """What is left of the function's time is not enough for the next step."""


class NotYet(BatchdropError):
    """Something that should exist is not visible yet."""


class ProviderError(BatchdropError):
    """The provider did not do what was asked."""


class KeyMissing(ProviderError):
    """The secret holds no API key that could be sent; *code* names what it holds instead, and the message holds none of it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class KeyRefused(ProviderError):
    """The provider refuses the key, or the account behind it, for every call."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ProviderRefused(ProviderError):
    """The provider said a definite no to this call: asking again changes nothing, and the key is not what it means.

    *status* is the HTTP status, *code* the provider's own, empty where it gave none, *message* its words.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"status {status}: {message}")
        self.status = status
        self.code = code
        self.message = message


class NotAtProvider(ProviderError):
    """Nothing with this id under this key. Under an unproved key it means nothing."""


class ProviderUnavailable(ProviderError):
    """The call failed in a way that may pass."""


class ProviderSilent(ProviderUnavailable):
    """The call was not answered in its time: each such call takes a worker's time, which others wait for."""


class DownloadCut(ProviderError):
    """Fewer bytes came than were announced."""


class IllegalTransition(BatchdropError):
    """A state met an event that its row of the table does not name."""


class BrokenState(BatchdropError):
    """A row or object that cannot be the work of this code."""
