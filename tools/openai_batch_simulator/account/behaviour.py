"""How the simulated provider behaves while nothing is broken: its pace, its limits, its keys; and the profiles.

Rule: every limit has its documented value as the default, and says where that is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from openai_batch_simulator.account.dialects import OPENAI, Dialect

HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The pace and the limits of one simulated account.

    Limits are those of the guide (https://developers.openai.com/api/docs/guides/batch, as of 2026-09-26) and of the API
    reference (https://github.com/openai/openai-openapi, as of August 2026) unless a comment names another source.
    """

    # The pace: the real one is minutes to a day, the default lets a demonstration end while one watches.
    validate_seconds: float = 0.5
    run_seconds: float = 1.5
    finalize_seconds: float = 0.5
    cancel_seconds: float = 0.5  # up to 600 at the provider
    requests_per_second: float | None = None  # None: a run takes run_seconds, whatever the number of its lines
    window_seconds: int = DAY_SECONDS

    # Whether a create that names a missing file is refused at once, or fails in validation: reports know both.
    input_checked_at_create: bool = True

    # The limits of a file of requests.
    lines_max: int = 50_000
    # 200 MB in the guide; users report a message that names 209,715,200 bytes.
    bytes_max: int = 200 * MEBIBYTE
    embedding_inputs_max: int = 50_000

    # The limits of an account. Queues are shared by the projects of an organization, and counted per model.
    enqueued_tokens: Mapping[str, int] = field(default_factory=dict)
    enqueued_tokens_default: int | None = None  # None: no limit for the models that are not named above
    # https://help.openai.com/en/articles/9197833-batch-api-faq, read 2026-11-22.
    enqueued_embedding_inputs: int = 1_000_000
    creates_per_hour: int = 2_000
    uploads_per_minute: int = 1_000
    file_bytes_max: int = 512 * MEBIBYTE

    dialect: Dialect = OPENAI  # what kind of server it is

    organization: str = "org-simulated"
    projects: Mapping[str, str] = field(default_factory=dict)  # key to project; empty: every key opens one project
    models: frozenset[str] = frozenset()  # empty: every model exists

    def project_of(self, key: str) -> str | None:
        """Return the project that *key* opens, or None if it opens none."""
        if not self.projects:
            return "proj_simulated" if key else None
        return self.projects.get(key)

    def enqueued_tokens_of(self, model: str) -> int | None:
        """Return how many tokens of *model* may be enqueued, or None where there is no limit."""
        return self.enqueued_tokens.get(model, self.enqueued_tokens_default)


CALM = Behaviour()

# A small account that many use. Users report queues of 2,000,000 tokens for a small model
# (https://github.com/openai/openai-python/issues/2084, read 2026-11-22); this one is narrower, so that a demonstration meets it.
BUSY = Behaviour(
    validate_seconds=3.0,
    run_seconds=30.0,
    finalize_seconds=2.0,
    cancel_seconds=10.0,
    enqueued_tokens_default=90_000,
    enqueued_embedding_inputs=20_000,
    creates_per_hour=100,
    uploads_per_minute=60,
)
