"""Lists every number that bounds the system, with its source. A deployment may change some through its settings.

Rule: a loop, list or file without a limit from here is a defect.
Dates in parentheses say when a source was read.
"""

from dataclasses import dataclass

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# S3 refuses keys over 1,024 bytes (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html, 2026-11-22).
# Result keys hold the upload's key, the job and the item's name, so an upload may use at most this much of it.
UPLOAD_KEY_BYTES_MAX = 700
ITEM_NAME_BYTES_MAX = 200

# https://developers.openai.com/api/docs/guides/batch (2026-09-26): the window is the only one offered.
COMPLETION_WINDOW = "24h"
COMPLETION_WINDOW_SECONDS = DAY


# Levels of JSON in a record, and in an answer that is to be an object. Readers give up near 10,000, Python's own functions near
# 1,000 (https://docs.python.org/3/library/sys.html#sys.setrecursionlimit, 2026-12-01). Chosen: far more than any schema has.
NESTING_MAX = 500

# Tokens of one request, and of all of its answers: the longest context that is offered has 2,000,000, and 128 choices of 128,000
# are 16,000,000. A larger or negative number isn't taken as a count.
REQUEST_TOKENS_MAX = 100_000_000
# Tokens of an answer that expectations are learned from, on average of a batch. Chosen: eight times the longest on offer.
LEARNED_ANSWER_TOKENS_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The numbers that a deployment may set; the defaults are those of a new account."""

    # A batch: 50,000 requests, 200 MB, 50,000 embedding inputs
    # (https://developers.openai.com/api/docs/guides/batch, 2026-09-26); bytes with a margin for what "MB" may mean.
    shard_requests_max: int = 50_000
    shard_bytes_max: int = 190_000_000
    shard_embedding_inputs_max: int = 50_000
    # Requests of a batch of images: an answer has 3 MB in base64, so this is 3 GB, which a function downloads and makes into
    # outcomes in its 15 minutes. Chosen; the provider would take 50,000, and 150 GB would come back.
    shard_image_requests_max: int = 1_000
    # A chunk is held in memory while it fills.
    chunk_lines_max: int = 2_000
    chunk_bytes_max: int = 8_000_000
    # All chunks that fill at once: endpoints and models may be mixed in one upload.
    open_chunks_bytes_max: int = 48_000_000
    groups_max: int = 100
    # One record, in bytes: a request line has to fit a shard many times over, and is held in memory.
    record_bytes_max: int = 16_000_000
    csv_field_bytes_max: int = 8_000_000
    # Input bytes between two checkpoints of the plan: what a crash makes us read again. A page has to fit an invocation.
    plan_checkpoint_bytes: int = 64_000_000

    # Quota: model tokens that may be enqueued at the provider at one time, for each model; 0 to learn it.
    enqueued_tokens_per_model: int = 0
    # The first shard of a model of which nothing is known. Chosen: modest beside the 2,000,000 tokens that users report for
    # a small model (https://github.com/openai/openai-python/issues/2084, 2026-11-22), and ten steps away from it.
    first_shard_tokens: int = 50_000
    # Embedding inputs that may be enqueued at one time in all
    # (https://help.openai.com/en/articles/9197833-batch-api-faq, 2026-11-22).
    quota_embedding_inputs: int = 1_000_000
    # Batches that may be created in an hour: 2,000 (https://developers.openai.com/api/docs/guides/batch, 2026-09-26), less a
    # tenth for tries that are repeated.
    creates_per_hour_max: int = 1_800
    # Bytes of request body for one token, on text in English; measured within 0.95-1.07 of exact counts.
    bytes_per_token: int = 4
    # After a refusal while nothing of ours is enqueued: another program fills the queue. Doubled each time.
    no_quota_backoff_seconds: int = 5 * MINUTE
    no_quota_backoff_seconds_max: int = HOUR
    lone_item_refused_seconds_max: int = DAY

    # What a job may cost before a person has to approve of it, in millionths of a US dollar; 0 for no limit.
    max_cost_microdollars: int = 0
    # What may be admitted on one day (UTC), of all jobs, likewise.
    daily_cost_microdollars_max: int = 0
    # How long a job waits for a person to approve its cost. Chosen: as long as files and parked shards are kept.
    hold_seconds_max: int = 7 * DAY

    attempts_max: int = 3
    # Attempts of a shard that do not count, because the account had no money for them. Chosen: one an hour for six weeks.
    unpaid_attempts_max: int = 1_000
    uncertain_creates_max: int = 5

    # The create protocol (docs/decisions/0003-create-once.md).
    create_timeout_seconds: int = 60
    create_margin_seconds: int = 15
    grace_seconds: int = 20 * MINUTE
    fence_wait_seconds: int = 15 * MINUTE
    fence_attempts_seconds_max: int = DAY
    file_visible_seconds_max: int = 15 * MINUTE
    input_file_lifetime_seconds: int = 7 * DAY
    parked_retry_seconds: int = HOUR
    parked_seconds_max: int = 7 * DAY
    unreachable_seconds_max: int = 7 * DAY
    circuit_seconds: int = 5 * MINUTE
    # The longest that a server may ask us to wait (`Retry-After`); then it is asked again. Chosen.
    retry_after_seconds_max: int = HOUR

    # Disk. Submit keeps the requests of one shard in /tmp (190 MB, 200 MB at most) and nothing else. Complete keeps the answers
    # of one batch, up to a limit, and reads the rest from the archive by range. Merging keeps nothing on disk.
    # Both functions have 2,048 MB (template.yaml); a test compares.
    answer_spool_bytes_max: int = 1_500_000_000
    # Answers that become outcomes in a second, at least: more than what is left of an invocation is left to the next one.
    # Chosen; 100 MB of answers take 1 s of processor time (docs/benchmarks.md), the rest is waiting for S3.
    derived_bytes_per_second: int = 10_000_000

    # What the provider refuses for good (an upload, a file that it took, a model). Chosen: three tries within ten minutes, in
    # case a proxy spoke for it; then one an hour, and after a day the items fail with its words.
    refused_tries_max: int = 3
    refused_try_seconds: int = 4 * MINUTE
    refused_told_seconds: int = 10 * MINUTE
    refused_retry_seconds: int = HOUR
    refused_seconds_max: int = DAY
    # Timeout of an upload: these seconds at first, plus one for each of these bytes; doubled after each failure, up to the
    # last. As a whole it may take longer, by the time that its bytes need at the slowest speed. Chosen: an upload of
    # 190 MB has a minute, so that a worker that one holds up is free again for planning within that.
    upload_answer_seconds: int = 20
    upload_answer_bytes_per_second: int = 5_000_000
    upload_answer_seconds_max: int = 180
    upload_bytes_per_second_min: int = 500_000
    # An upload that fails because the provider is not there goes again in a minute, then in two, up to this.
    upload_backoff_seconds_max: int = 10 * MINUTE
    # At most this many shards of a job are tried while each is refused; the others of that model wait for the result. More are
    # tried if each is one request that is too large: the others are other requests.
    refused_shards_max: int = 3
    refused_lines_max: int = 20
    # Shards that were refused and are tried again in a tick, of all jobs; and likewise parts of those that were too large.
    refused_retries_per_tick_max: int = 4
    # A create that was never sent, or that met a rate limit, is tried each minute at first. Each call leaves a ticket in the row:
    # after this many calls one follows every quarter of an hour, and after twice as many one an hour.
    quick_tries_max: int = 60
    slow_try_seconds: int = 15 * MINUTE

    # Answers that the provider counted but does not show yet.
    answers_missing_seconds_max: int = DAY
    answers_retry_seconds: int = 10 * MINUTE

    # Polling.
    # Of a tick's 120 s, what all of its calls of the provider may take, and any one of them: a call that hangs must leave time
    # for the others, and all of them for what needs no provider. Chosen: a page of the list takes a second.
    tick_calls_seconds: int = 40
    tick_call_seconds: int = 15
    # How long a job waits for a create or a batch to be resolved before people are notified. Chosen: a create without an answer
    # is resolved in 35 minutes, a batch that is asked to stop has ten.
    wait_told_seconds: int = 45 * MINUTE
    # How long work may get no further before it is an alarm, whatever its due times: a batch has its window of a day and some
    # time to notification that it is over; where windows do not end, three days; everything else an hour. Chosen.
    no_progress_seconds: int = HOUR
    no_progress_running_seconds: int = 25 * HOUR
    no_progress_windowless_seconds: int = 3 * DAY
    # Of the shards whose last call failed, at most this many to be sent, and as many to be collected, are tried again in a tick,
    # in turn, until one goes through. Chosen: two ticks may lie within a minute, and ten calls a minute are too many.
    retried_per_tick_max: int = 4
    # Failed calls of a tick after which nothing more is asked of the provider in it.
    tick_failures_max: int = 3
    list_pages_max: int = 20
    retrieves_per_tick_max: int = 50
    retrieve_interval_seconds: int = 10 * MINUTE
    # Without a list each batch is looked at alone, in turn: no batch more often than this.
    unlisted_interval_seconds: int = MINUTE
    # Jobs wait for a provider that has answered nothing for this long. Chosen: shorter outages need no notification.
    unavailable_seconds: int = 15 * MINUTE
    wakeups_per_tick_max: int = 500
    # A batch that hasn't ended this long after its window is cancelled. Chosen; nothing is documented.
    stuck_seconds: int = 6 * HOUR
    # And one that obeys no cancel is given up so long after its end was due: what it answered is collected. Chosen.
    hopeless_seconds: int = 2 * DAY
    # A running batch that the provider does not show any more is looked for so long, once an hour. Chosen.
    gone_seconds_max: int = DAY
    # Sweep of orphaned input files: minimum age, interval, and caps on pages and deletions. They expire after
    # `input_file_lifetime_seconds` anyway.
    file_sweep_age_seconds: int = DAY
    file_sweep_seconds: int = 6 * HOUR
    file_sweep_pages_max: int = 10
    file_sweep_deletions_max: int = 50
    # Rows that are read in a tick because a batch looks like one that no shard collects, and how many a shard remembers.
    suspects_per_tick_max: int = 20
    duplicates_per_shard_max: int = 50
    # How often a batch is asked to stop; one that was not answered is asked again sooner, and each time later, because until
    # it is heard more of the batch is run and paid.
    cancel_retry_seconds: int = HOUR
    cancel_unheard_seconds: int = 2 * MINUTE
    admissions_per_tick_max: int = 100
    # A cause that holds up all jobs and comes back within this time is the same one: no second notification is sent. Chosen.
    same_wait_seconds: int = HOUR
    # Statuses that a tick writes again because such a cause began or ended; each is three reads and a put. Chosen: some 12 s,
    # and 3,000 jobs in ten minutes.
    statuses_per_tick_max: int = 300

    # Workers.
    # The time-out of submit and complete: a row that was handed to one of them is left to it for so long.
    worker_timeout_seconds: int = 15 * MINUTE
    stop_margin_seconds: int = 45
    wakeup_margin_seconds: int = MINUTE

    # A message whose invocation failed comes again after so long, times its receives: four tries within ten minutes, which
    # outlast a throttle or a deployment. Then it is dead-lettered, and the ledger drives its job.
    redelivery_seconds: int = MINUTE

    # Attempts of planning, and of finishing, that may end without a checkpoint. Chosen: a function that is killed begins again
    # after a quarter of an hour, so that a person is notified within an hour and a half. Attempts that follow each other sooner
    # than a message's delays after an error (a minute, two, three) count as one, so that a short outage does not end a job.
    stalled_attempts_max: int = 5
    stalled_count_seconds: int = 10 * MINUTE

    # A task may arrive after the drop that names it, because a sync has no order.
    task_wait_seconds: int = 2 * MINUTE
    # How long an upload that S3 refuses to give is looked at again, and how often. Chosen: permissions and policies take
    # seconds to minutes to be everywhere (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html, 2026-11-22).
    withheld_seconds_max: int = 10 * MINUTE
    withheld_retry_seconds: int = 30
    # Claims outlive every redelivery: a dead-letter queue keeps messages for 14 days, a redrive starts again.
    ended_rows_kept_seconds: int = 45 * DAY
    old_drop_seconds: int = 7 * DAY
    # Drops whose event never came: a round over the inbox begins so often, so that each starts within the hour.
    inbox_round_seconds: int = 50 * MINUTE
    # While this many messages wait for a submit function, some are events of files older than the next limit: then a round is put
    # off, for at most a day. Creates are 1,800 an hour, so this many take five minutes.
    queued_messages_max: int = 150
    inbox_round_put_off_seconds_max: int = DAY
    # A version that still has no job is announced again after this time. Chosen: 100,000 files that wait for two days would
    # otherwise make two million messages.
    told_again_seconds: int = 6 * HOUR
    # An event takes seconds; until then a version without a job is none that was missed.
    event_awaited_seconds: int = 5 * MINUTE
    # A page is 1,000 versions (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html, 2026-11-22).
    inbox_pages_per_tick_max: int = 10
    # An installation begins with its first invocation; what was dropped a little before belongs to it.
    installation_slack_seconds: int = 15 * MINUTE
