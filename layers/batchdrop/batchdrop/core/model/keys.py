"""Names things: uploads, jobs, items, and the key of everything that is written for them.

Rule: every key and id that Batchdrop makes is made here, from values alone, so that doing a step twice writes the same place.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from batchdrop.core.model.limits import ITEM_NAME_BYTES_MAX, UPLOAD_KEY_BYTES_MAX

INBOX_PREFIX = "inbox/"
TASKS_PREFIX = "tasks/"
TASK_ENDINGS = (".yaml", ".yml")  # of two files of one name the first counts
CONTROL_PREFIX = "control/"
INTERNAL_PREFIX = "internal/"
RESULTS_PREFIX = "results/"
NO_TASK = "-"

# What file managers, office programs, browsers, Hadoop and git leave beside the files of a folder, in any case of letters.
_IGNORED_NAME = re.compile(
    r"\.ds_store|thumbs\.db|desktop\.ini|_success|\.gitkeep|\.gitignore|(?:\._|\.~lock\.|~\$).*"
    r"|.*(?:_\$folder\$|\.crdownload|\.part|\.partial|\.filepart|\.md5|\.sha1|\.sha256|\.sha512|\.crc)",
    re.IGNORECASE | re.DOTALL,
).fullmatch
_HASH_CHARS = 16
_JOB_ID = re.compile(r"[0-9a-f]{20}").fullmatch
# What a job writes into its folder, beside its items; `results` and `failures` have the ending of the upload.
_RESULT_NAME = re.compile(
    r"status\.json|summary\.json|outcomes\.jsonl|outcomes\.index|report\.html|(?:results|failures)\.\w+(?:\.gz)?|items/[^/]+\.json"
).fullmatch
_SAFE = r"\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*+"
_SAFE_NAME = re.compile(_SAFE).fullmatch
_SAFE_NAMES = re.compile(rf"(?:{_SAFE}/)*+{_SAFE}").fullmatch


def named_version(version: str) -> str:
    """Return *version* as S3 names it; empty for an object that was put while versioning was off, which S3 calls "null".

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html (read 2026-11-22)
    """
    return "" if version == "null" else version


@dataclass(frozen=True, slots=True)
class Upload:
    """One object version in the inbox bucket."""

    bucket: str
    key: str
    version: str

    @property
    def job_id(self) -> str:
        """The id of this upload's job: the first 20 hex digits of SHA-256 over bucket, NUL, key, NUL, version."""
        identity = f"{self.bucket}\0{self.key}\0{self.version}"
        return hashlib.sha256(identity.encode()).hexdigest()[:20]

    @property
    def task(self) -> str:
        """The first folder below `inbox/`, or `-` where the upload holds ready-made requests."""
        folder, slash, _ = self.key.removeprefix(INBOX_PREFIX).partition("/")
        return folder if slash else NO_TASK

    @property
    def extension(self) -> str:
        """The key's ending in lower case, without its dot and without `.gz`; empty where there is none."""
        name = self.key.rsplit("/", 1)[-1].lower().removesuffix(".gz")
        return name.rpartition(".")[2] if "." in name else ""


def task_keys(name: str) -> tuple[str, ...]:
    """Return where the task called *name* may be, in the order in which it is looked for."""
    return tuple(f"{TASKS_PREFIX}{name}{ending}" for ending in TASK_ENDINGS)


def named_task(key: str) -> str | None:
    """Return the name of the task at *key*; None where it isn't a task file's key."""
    ending = next((ending for ending in TASK_ENDINGS if key.endswith(ending)), None)
    return None if ending is None else key.removeprefix(TASKS_PREFIX).removesuffix(ending)


def is_ignored(key: str) -> bool:
    """Whether *key* isn't an upload: outside the inbox, a folder marker, half a file, or what programs leave beside files."""
    name = key.rsplit("/", 1)[-1]
    return not key.startswith(INBOX_PREFIX) or not name or _IGNORED_NAME(name) is not None


def is_key_too_long(key: str) -> bool:
    """Whether the keys of the results could grow over what S3 takes."""
    return len(key.encode()) > UPLOAD_KEY_BYTES_MAX


def is_of_results(key: str) -> bool:
    """Whether a part of *key* looks like the id of a job: results that were copied back into the inbox have such a key."""
    return any(map(_JOB_ID, key.split("/")))


def is_key_plain(key: str) -> bool:
    """Whether every store takes *key* for the same object: no empty part, none of dots alone, nothing unprintable."""
    return all(segment == _safe_segment(segment) for segment in key.split("/"))


def item_name(identifier: str) -> str:
    """Return the name of the item that the user calls *identifier*, safe as the last part of a key.

    Percent-encoded as RFC 3986 has it, `~` and `.`-only names included, so that no name can leave its folder or look
    like the names that failed items are given. Over 200 bytes it is cut and ends with a digest of the whole.
    """
    # Nearly all ids; the long way costs two to three times as much.
    if len(identifier) <= ITEM_NAME_BYTES_MAX and _SAFE_NAME(identifier):
        return identifier
    encoded = quote(identifier, safe="").replace("~", "%7E")
    if not encoded.strip("."):
        encoded = encoded.replace(".", "%2E")
    if len(encoded) <= ITEM_NAME_BYTES_MAX:
        return encoded
    digest = hashlib.sha256(identifier.encode()).hexdigest()[:_HASH_CHARS]
    # Cut before an escape rather than inside it, so that the rest still decodes.
    kept = encoded[: ITEM_NAME_BYTES_MAX - _HASH_CHARS - 1]
    return f"{kept[: _whole_escapes(kept)]}~{digest}"


def item_names(identifiers: Sequence[str]) -> Sequence[str]:
    """Return what `item_name` makes of each."""
    # Joined by what no safe name holds, and looked at in one go: a fourth of asking for each.
    joined = "/".join(identifiers)
    if (
        joined.count("/") < len(identifiers)
        and _SAFE_NAMES(joined)
        and max(map(len, identifiers)) <= ITEM_NAME_BYTES_MAX
    ):
        return identifiers
    return list(map(item_name, identifiers))


def _whole_escapes(encoded: str) -> int:
    """Return how much of *encoded* ends on a whole percent escape."""
    last = encoded.rfind("%")
    return last if last > len(encoded) - 3 and last >= 0 else len(encoded)


def _safe_segment(segment: str) -> str:
    """Return one part of an upload's key as a part of a result's key.

    What could leave the folder is escaped, and what looks like a job's folder: else one job's could lie within another's.
    """
    if not segment.strip("."):
        return "".join(f"%{ord(char):02X}" for char in segment or "/")
    if _JOB_ID(segment):
        return f"%{ord(segment[0]):02X}{segment[1:]}"
    return "".join(char if char.isprintable() else quote(char) for char in segment)


@lru_cache(maxsize=64)  # asked for with every item, and a function works on one job at a time
def _results_folder(upload_key: str) -> str:
    folder = "/".join(map(_safe_segment, upload_key.removeprefix(INBOX_PREFIX).split("/")))
    if is_key_too_long(folder):
        folder = folder.encode()[:UPLOAD_KEY_BYTES_MAX].decode(errors="ignore") + "~"
    return folder


def row_name(row: int) -> str:
    """Return the name of an item without a name of its own: its row with nine digits."""
    return f"{row:09d}"


def refused_name(row: int, reason: str) -> str:
    """Return the name of an item whose own name cannot be used; *reason* says why, such as `duplicate` or `cancelled`."""
    return f"{row_name(row)}~{reason}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of everything of one job in the results bucket."""

    job: str
    upload_key: str

    @property
    def results(self) -> str:
        """The folder that the user reads, with its slash. A key that is too long to be used is cut in it."""
        return f"{RESULTS_PREFIX}{_results_folder(self.upload_key)}/{self.job}/"

    @property
    def internal(self) -> str:
        """The folder of what only Batchdrop reads, with its slash; a lifecycle rule empties it."""
        return f"{INTERNAL_PREFIX}{self.job}/"

    def is_written(self, key: str) -> bool:
        """Whether *key* is one of those that this job writes."""
        if key.startswith(self.internal):
            return True
        return key.startswith(self.results) and _RESULT_NAME(key.removeprefix(self.results)) is not None

    def item(self, name: str) -> str:
        """The object of the item called *name* (already a safe name)."""
        return self.items((name,))[0]

    def items(self, names: Iterable[str]) -> list[str]:
        """The object of each of the items called *names*."""
        folder = f"{self.results}items/"
        return [f"{folder}{name}.json" for name in names]

    @property
    def status(self) -> str:
        """The state of the job for a person to read while it runs."""
        return f"{self.results}status.json"

    @property
    def outcomes(self) -> str:
        """Every item's outcome, in input order."""
        return f"{self.results}outcomes.jsonl"

    @property
    def outcome_index(self) -> str:
        """Where each outcome is in the former, by name."""
        return f"{self.results}outcomes.index"

    @property
    def report(self) -> str:
        """One page for people, with examples."""
        return f"{self.results}report.html"

    @property
    def summary(self) -> str:
        """Written last: who sees it sees everything."""
        return f"{self.results}summary.json"

    def merged(self, extension: str) -> str:
        """The input with its answers, in the input's own format."""
        return f"{self.results}results.{extension}"

    def failures(self, extension: str) -> str:
        """Only the failed records, ready to be dropped again."""
        return f"{self.results}failures.{extension}"

    @property
    def copy(self) -> str:
        """The upload in UTF-8 and unpacked, where it could not be read from any byte on."""
        return f"{self.internal}upload"

    @property
    def task_snapshot(self) -> str:
        """The task as it was when the job began: a change under way does not reach the job."""
        return f"{self.internal}task.yaml"

    def chunk(self, group: int, number: int) -> str:
        """Request lines number *number* x chunk of one endpoint and model."""
        return f"{self.internal}chunks/{group}/{number:06d}.jsonl"

    def plan_page(self, page: int) -> str:
        """What planning added up to one checkpoint: its chunks and where it stopped."""
        return f"{self.internal}plan/{page:06d}.json"

    def plan_digests(self, page: int) -> str:
        """Digests of the ids of one page of the plan, eight bytes each."""
        return f"{self.internal}plan/{page:06d}.ids"

    def refused(self, page: int) -> str:
        """Outcomes of the invalid records of one page of the plan, sorted by row."""
        return f"{self.internal}refused/{page:06d}.jsonl"

    def attempt(self, shard: int, attempt: int) -> str:
        """The folder of one attempt of a shard, with its slash."""
        return f"{self.internal}shards/{shard:06d}/attempt-{attempt}/"

    def input_lines(self, shard: int, attempt: int) -> str:
        """The request lines of a later attempt: only what may be sent again."""
        return f"{self.attempt(shard, attempt)}input.jsonl"

    def raw_output(self, shard: int, attempt: int) -> str:
        """The provider's output file, as it came."""
        return f"{self.attempt(shard, attempt)}output.jsonl"

    def raw_errors(self, shard: int, attempt: int) -> str:
        """The provider's error file, as it came."""
        return f"{self.attempt(shard, attempt)}errors.jsonl"

    def put_steps(self, shard: int, attempt: int) -> str:
        """How far the item objects of one attempt have been put."""
        return f"{self.attempt(shard, attempt)}objects.json"

    def decided(self, shard: int, attempt: int) -> str:
        """Outcomes that one attempt decided, sorted by row."""
        return f"{self.attempt(shard, attempt)}decided.jsonl"

    def part(self, shard: int) -> str:
        """Outcomes of all items of a shard, sorted by row."""
        return f"{self.internal}shards/{shard:06d}/part.jsonl"
