"""The files of the account: uploaded requests, and what batches wrote.

Rule: a file belongs to one project, and for every other project it does not exist.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from openai_batch_simulator.account.behaviour import DAY_SECONDS, Behaviour
from openai_batch_simulator.blobs import Blob
from openai_batch_simulator.messages import Refusal

# The purposes of an upload, and the range of an expiry: `openai/types/file_purpose.py` and `file_create_params.py` of the
# Python SDK 3.54.0, read 2026-11-22.
UPLOAD_PURPOSES = frozenset({"assistants", "batch", "fine-tune", "vision", "user_data", "evals"})
EXPIRY_SECONDS_MIN, EXPIRY_SECONDS_MAX = 3600, 30 * DAY_SECONDS


@dataclass(slots=True, kw_only=True)
class File:
    """One file; *usable_until* is after the deletion where a fault keeps a deleted file alive for batches."""

    id: str
    project: str
    filename: str
    purpose: str
    content: Blob
    created_at: float
    expires_at: float | None
    visible_at: float = -math.inf
    deleted_at: float | None = None
    usable_until: float = math.inf
    processed_at: float = -math.inf  # Azure's files are pending until then
    refused_until_then: str | None = None  # the words for a create that names it; None are ours

    def is_there(self, now: float) -> bool:
        """Return whether the project sees the file."""
        return self.deleted_at is None and self.visible_at <= now and not self._has_expired(now)

    def is_usable(self, now: float) -> bool:
        """Return whether a batch that names the file can read it."""
        return now < self.usable_until and not self._has_expired(now)

    def _has_expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def is_processed(self, now: float) -> bool:
        """Return whether a create may name the file."""
        return self.processed_at <= now

    def describe(self, now: float) -> dict[str, object]:
        """Return the File object of the API."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.content.size_bytes,
            "created_at": int(self.created_at),
            "expires_at": None if self.expires_at is None else int(self.expires_at),
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed" if self.is_processed(now) else "pending",
            "status_details": None,
        }


@dataclass(slots=True)
class Files:
    """All files by identifier, in the order of their creation."""

    by_id: dict[str, File] = field(default_factory=dict)

    def add(self, file: File) -> None:
        """Let *file* exist."""
        self.by_id[file.id] = file

    def get(self, file_id: str, project: str, now: float) -> File:
        """Return the file that *project* sees. Raises Refusal (404) if it sees none."""
        file = self.by_id.get(file_id)
        if file is None or file.project != project or not file.is_there(now):
            raise Refusal(404, f"No such File object: {file_id}", param="id")
        return file

    def seen_by(self, project: str, now: float) -> Iterator[File]:
        """Yield the files that *project* sees, oldest first."""
        return (file for file in self.by_id.values() if file.project == project and file.is_there(now))


def check_upload(filename: str, purpose: str, size_bytes: int, behaviour: Behaviour) -> None:
    """Raise Refusal for an upload that is refused at once: the lines of a file are not looked at here.

    The words about `.jsonl` are the provider's (https://github.com/BerriAI/litellm/pull/37527, read 2026-11-22).
    """
    if purpose not in UPLOAD_PURPOSES:
        raise Refusal(400, f"'{purpose}' is not one of {sorted(UPLOAD_PURPOSES)} - 'purpose'", param="purpose")
    if purpose == "batch" and not filename.endswith(".jsonl"):
        raise Refusal(400, "Invalid file format for Batch API. Must be .jsonl")
    if size_bytes > behaviour.file_bytes_max:
        raise Refusal(413, f"File exceeds the maximum of {behaviour.file_bytes_max} bytes.", param="file")


def expiry_seconds(
    anchor: object, seconds: object, param: str, allowed: tuple[int, int] = (EXPIRY_SECONDS_MIN, EXPIRY_SECONDS_MAX)
) -> int:
    """Return the seconds of an expiry policy. Raises Refusal where the policy is none."""
    if anchor != "created_at":
        raise Refusal(400, f"Invalid value for '{param}.anchor': expected 'created_at'.", param=f"{param}.anchor")
    least, most = allowed
    if type(seconds) is not int or not least <= seconds <= most:
        expected = f"an integer from {least} to {most}"
        raise Refusal(400, f"Invalid value for '{param}.seconds': expected {expected}.", param=f"{param}.seconds")
    return seconds
