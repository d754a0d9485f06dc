"""Lists every number that bounds the system, with its source. A deployment may change some through its settings.

Rule: a loop, list or file without a limit from here is a defect.
Dates in parentheses say when a source was read.
"""

from dataclasses import dataclass, field

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


def _limit(default: int, meaning: str) -> int:
    """Return a field with its meaning, as the table of settings shows it; seconds and bytes have it in their names."""
    found: int = field(default=default, metadata={"meaning": meaning})
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The numbers that a deployment may set; the defaults are those of a new account."""

    # A batch: 50,000 requests, 200 MB, 50,000 embedding inputs
    # (https://developers.openai.com/api/docs/guides/batch, 2026-09-26); bytes with a margin for what "MB" may mean.
    shard_requests_max: int = _limit(50_000, "Most requests in one batch")
    shard_bytes_max: int = _limit(190_000_000, "Most bytes in one batch's input file")
    shard_embedding_inputs_max: int = _limit(50_000, "Most embedding inputs in one batch")
    # Requests of a batch of images: an answer has 3 MB in base64, so this is 3 GB, which a function downloads and makes into
    # outcomes in its 15 minutes. Chosen; the provider would take 50,000, and 150 GB would come back.
    shard_image_requests_max: int = _limit(1_000, "Most requests for images in one batch")
    # A chunk is held in memory while it fills.
    chunk_lines_max: int = _limit(2_000, "Most request lines in one chunk of a plan")
    chunk_bytes_max: int = _limit(8_000_000, "Most bytes in one chunk of a plan")
    # All chunks that fill at once: endpoints and models may be mixed in one upload.
    open_chunks_bytes_max: int = _limit(
        48_000_000, "Most bytes of chunks that are in memory at once while a file is planned"
    )
    unpacked_bytes_max: int = _limit(5_000_000_000, "Most bytes that a packed file may unpack to")
    groups_max: int = _limit(100, "Most pairs of endpoint and model in one file")
    # One record, in bytes: a request line has to fit a shard many times over, and is held in memory.
    record_bytes_max: int = _limit(16_000_000, "Longest record, in bytes")
    csv_field_bytes_max: int = _limit(8_000_000, "Longest cell of a CSV, in bytes")
    # Input bytes between two checkpoints of the plan: what a crash makes us read again. A page has to fit an invocation.
    plan_checkpoint_bytes: int = _limit(64_000_000, "Input bytes between two checkpoints of planning")

    # Quota: model tokens that may be enqueued at the provider at one time, for each model; 0 to learn it.
    enqueued_tokens_per_model: int = _limit(
        0, "Tokens of one model that may be enqueued at the provider at once; 0: it is learned"
    )
    # The first shard of a model of which nothing is known. Chosen: modest beside the 2,000,000 tokens that users report for
    # a small model (https://github.com/openai/openai-python/issues/2084, 2026-11-22), and ten steps away from it.
    first_shard_tokens: int = _limit(50_000, "Tokens in the first batch of a model whose quota is not known")
    # Embedding inputs that may be enqueued at one time in all
    # (https://help.openai.com/en/articles/9197833-batch-api-faq, 2026-11-22).
    quota_embedding_inputs: int = _limit(1_000_000, "Embedding inputs that may be enqueued at the provider at once")
    # Batches that may be created in an hour: 2,000 (https://developers.openai.com/api/docs/guides/batch, 2026-09-26), less a
    # tenth for tries that are repeated.
    creates_per_hour_max: int = _limit(1_800, "Most batches created in an hour")
    # Bytes of request body for one token, on text in English; measured within 0.95-1.07 of exact counts.
    bytes_per_token: int = _limit(4, "Bytes of a request body that count as one token")
    # After a refusal while nothing of ours is enqueued: another program fills the queue. Doubled each time.
    no_quota_backoff_seconds: int = _limit(
        5 * MINUTE, "Wait after a refusal for quota while nothing of ours is enqueued; doubled each time"
    )
    no_quota_backoff_seconds_max: int = _limit(HOUR, "Longest such wait")
    lone_item_refused_seconds_max: int = _limit(
        DAY, "How long one request alone may be refused for quota before it fails"
    )

    # What a job may cost before a person has to approve of it, in millionths of a US dollar; 0 for no limit.
    max_cost_microdollars: int = _limit(0, "What one job may cost without approval, in US dollars; 0: no limit")
    # What may be admitted on one day (UTC), of all jobs, likewise.
    daily_cost_microdollars_max: int = _limit(
        0, "What all jobs together may cost on one day (UTC), in US dollars; 0: no limit"
    )
    # How long a job waits for a person to approve its cost. Chosen: as long as files and parked shards are kept.
    hold_seconds_max: int = _limit(7 * DAY, "How long a job is held for approval before it ends")

    attempts_max: int = _limit(3, "Most times that one request is sent")
    # Attempts of a shard that do not count, because the account had no money for them. Chosen: one an hour for six weeks.
    unpaid_attempts_max: int = _limit(
        1_000, "Most attempts of a shard that do not count because the account had no money"
    )
    uncertain_creates_max: int = _limit(5, "Most create calls of one shard without an answer before it is parked")

    # The create protocol (docs/decisions/0003-create-once.md).
    create_timeout_seconds: int = _limit(60, "Timeout of a create call")
    create_margin_seconds: int = _limit(
        15, "Time that must be left of an invocation, beyond the timeout, for a create to begin"
    )
    grace_seconds: int = _limit(20 * MINUTE, "How long a lost create is looked for before its file is deleted")
    fence_wait_seconds: int = _limit(15 * MINUTE, "Wait after a deletion of an input file before another create call")
    fence_attempts_seconds_max: int = _limit(DAY, "How long the deletion of an input file is tried")
    file_visible_seconds_max: int = _limit(
        15 * MINUTE, "How long a new input file may be unknown to the provider's create call"
    )
    input_file_lifetime_seconds: int = _limit(7 * DAY, "Lifetime that an input file is given at the provider")
    parked_retry_seconds: int = _limit(HOUR, "How often a parked shard is looked at")
    parked_seconds_max: int = _limit(
        7 * DAY, "How long a shard stays parked before its items fail as `submission_unknown`"
    )
    unreachable_seconds_max: int = _limit(
        7 * DAY, "How long a shard whose provider cannot be reached is kept before its items fail"
    )
    circuit_seconds: int = _limit(5 * MINUTE, "How long an open circuit breaker stops calls before it lets one through")
    # The longest that a server may ask us to wait (`Retry-After`); then it is asked again. Chosen.
    retry_after_seconds_max: int = _limit(HOUR, "Longest `Retry-After` of a server that is obeyed")

    # Disk. Submit keeps the requests of one shard in /tmp (190 MB, 200 MB at most) and nothing else. Complete keeps the answers
    # of one batch, up to a limit, and reads the rest from the archive by range. Merging keeps nothing on disk.
    # Both functions have 2,048 MB (template.yaml); a test compares.
    answer_spool_bytes_max: int = _limit(
        1_500_000_000,
        "Most bytes of answers that one invocation keeps on disk; the rest is read from the results bucket",
    )
    # Answers that become outcomes in a second, at least: more than what is left of an invocation is left to the next one.
    # Chosen; 100 MB of answers take 1 s of processor time (docs/benchmarks.md), the rest is waiting for S3.
    derived_bytes_per_second: int = _limit(10_000_000, "Answers that become outcomes in a second, at least, in bytes")

    # What the provider refuses for good (an upload, a file that it took, a model). Chosen: three tries within ten minutes, in
    # case a proxy spoke for it; then one an hour, and after a day the items fail with its words.
    refused_tries_max: int = _limit(3, "How often a refused call is tried in quick succession")
    refused_try_seconds: int = _limit(4 * MINUTE, "Wait between these tries")
    refused_told_seconds: int = _limit(10 * MINUTE, "How long a refusal lasts before people are notified")
    refused_retry_seconds: int = _limit(HOUR, "Wait between later tries of a refused call")
    refused_seconds_max: int = _limit(DAY, "How long a call may be refused before its items fail")
    # Timeout of an upload: these seconds at first, plus one for each of these bytes; doubled after each failure, up to the
    # last. As a whole it may take longer, by the time that its bytes need at the slowest speed. Chosen: an upload of
    # 190 MB has a minute, so that a worker that one holds up is free again for planning within that.
    upload_answer_seconds: int = _limit(20, "Timeout of an upload's answer")
    upload_answer_bytes_per_second: int = _limit(5_000_000, "Bytes of an upload that add a second to that timeout")
    upload_answer_seconds_max: int = _limit(180, "Longest such timeout")
    upload_bytes_per_second_min: int = _limit(500_000, "Slowest upload that is waited for, in bytes a second")
    # An upload that fails because the provider is not there goes again in a minute, then in two, up to this.
    upload_backoff_seconds_max: int = _limit(
        10 * MINUTE, "Longest wait between uploads while the provider cannot be reached"
    )
    # At most this many shards of a job are tried while each is refused; the others of that model wait for the result. More are
    # tried if each is one request that is too large: the others are other requests.
    refused_shards_max: int = _limit(3, "Most shards of a job and model that are tried while each is refused")
    refused_lines_max: int = _limit(20, "The same for shards of one request that is too large")
    # Shards that were refused and are tried again in a tick, of all jobs; and likewise parts of those that were too large.
    refused_retries_per_tick_max: int = _limit(4, "Most refused shards that are tried again in a tick, of all jobs")
    # A create that was never sent, or that met a rate limit, is tried each minute at first. Each call leaves a ticket in the row:
    # after this many calls one follows every quarter of an hour, and after twice as many one an hour.
    quick_tries_max: int = _limit(
        60, "Create calls of a shard that were not sent or met a rate limit, after which fewer follow"
    )
    slow_try_seconds: int = _limit(15 * MINUTE, "Wait between these")

    # Answers that the provider counted but does not show yet.
    answers_missing_seconds_max: int = _limit(
        DAY, "How long answers that the provider counted but does not show are looked for"
    )
    answers_retry_seconds: int = _limit(10 * MINUTE, "How often they are looked for")

    # Polling.
    # Of a tick's 120 s, what all of its calls of the provider may take, and any one of them: a call that hangs must leave time
    # for the others, and all of them for what needs no provider. Chosen: a page of the list takes a second.
    tick_calls_seconds: int = _limit(40, "Time for all calls of the provider in one tick")
    tick_call_seconds: int = _limit(15, "Timeout of one of them")
    # How long a job waits for a create or a batch to be resolved before people are notified. Chosen: a create without an answer
    # is resolved in 35 minutes, a batch that is asked to stop has ten.
    wait_told_seconds: int = _limit(
        45 * MINUTE, "How long a job waits for a create or a batch before people are notified"
    )
    # How long work may get no further before it is an alarm, whatever its due times: a batch has its window of a day and some
    # time to notification that it is over; where windows do not end, three days; everything else an hour. Chosen.
    no_progress_seconds: int = _limit(HOUR, "Time without progress after which a job is an alarm")
    no_progress_running_seconds: int = _limit(25 * HOUR, "The same while a batch runs")
    no_progress_windowless_seconds: int = _limit(3 * DAY, "The same at a server whose batches have no window")
    # Of the shards whose last call failed, at most this many to be sent, and as many to be collected, are tried again in a tick,
    # in turn, until one goes through. Chosen: two ticks may lie within a minute, and ten calls a minute are too many.
    retried_per_tick_max: int = _limit(4, "Most shards whose last call failed that are tried again in a tick")
    # Failed calls of a tick after which nothing more is asked of the provider in it.
    tick_failures_max: int = _limit(3, "Failed calls after which a tick asks the provider nothing more")
    list_pages_max: int = _limit(20, "Most pages of the list of batches in a tick")
    retrieves_per_tick_max: int = _limit(50, "Most batches that are looked at one by one in a tick")
    retrieve_interval_seconds: int = _limit(10 * MINUTE, "How often a batch is looked at that the list does not show")
    # Without a list each batch is looked at alone, in turn: no batch more often than this.
    unlisted_interval_seconds: int = _limit(MINUTE, "How often a batch is looked at where the provider has no list")
    # Jobs wait for a provider that has answered nothing for this long. Chosen: shorter outages need no notification.
    unavailable_seconds: int = _limit(
        15 * MINUTE, "How long a provider answers nothing before jobs say that they wait for it"
    )
    wakeups_per_tick_max: int = _limit(500, "Most wake-up messages in a tick")
    # A batch that hasn't ended this long after its window is cancelled. Chosen; nothing is documented.
    stuck_seconds: int = _limit(6 * HOUR, "Time after its window after which a batch is cancelled")
    # And one that obeys no cancel is given up so long after its end was due: what it answered is collected. Chosen.
    hopeless_seconds: int = _limit(
        2 * DAY, "Time after its window after which a batch that ignores its cancellation is given up"
    )
    # A running batch that the provider does not show any more is looked for so long, once an hour. Chosen.
    gone_seconds_max: int = _limit(DAY, "How long a running batch that the provider does not show is looked for")
    # Sweep of orphaned input files: minimum age, interval, and caps on pages and deletions. They expire after
    # `input_file_lifetime_seconds` anyway.
    file_sweep_age_seconds: int = _limit(DAY, "Age from which an input file without a job is deleted")
    file_sweep_seconds: int = _limit(6 * HOUR, "How often such files are looked for")
    file_sweep_pages_max: int = _limit(10, "Most pages of files that one such round lists")
    file_sweep_deletions_max: int = _limit(50, "Most files that one such round deletes")
    # Rows that are read in a tick because a batch looks like one that no shard collects, and how many a shard remembers.
    suspects_per_tick_max: int = _limit(20, "Most batches in a tick that are checked for being duplicates")
    duplicates_per_shard_max: int = _limit(50, "Most duplicates that a shard remembers")
    # How often a batch is asked to stop; one that was not answered is asked again sooner, and each time later, because until
    # it is heard more of the batch is run and paid.
    cancel_retry_seconds: int = _limit(HOUR, "How often a batch is asked to stop")
    cancel_unheard_seconds: int = _limit(
        2 * MINUTE, "Wait before a cancellation without an answer is repeated; doubled each time"
    )
    admissions_per_tick_max: int = _limit(100, "Most shards that are admitted in a tick")
    # A cause that holds up all jobs and comes back within this time is the same one: no second notification is sent. Chosen.
    same_wait_seconds: int = _limit(HOUR, "A cause that comes back within this time is not notified again")
    # Statuses that a tick writes again because such a cause began or ended; each is three reads and a put. Chosen: some 12 s,
    # and 3,000 jobs in ten minutes.
    statuses_per_tick_max: int = _limit(
        300, "Most statuses that are written again in a tick because such a cause began or ended"
    )

    # Workers.
    # The time-out of submit and complete: a row that was handed to one of them is left to it for so long.
    worker_timeout_seconds: int = _limit(15 * MINUTE, "Timeout of the submit and complete functions")
    stop_margin_seconds: int = _limit(45, "Time left of an invocation at which it stops at a checkpoint")
    wakeup_margin_seconds: int = _limit(MINUTE, "Time before which a row that got a wake-up message gets no other")

    # A message whose invocation failed comes again after so long, times its receives: four tries within ten minutes, which
    # outlast a throttle or a deployment. Then it is dead-lettered, and the ledger drives its job.
    redelivery_seconds: int = _limit(MINUTE, "Wait before a failed message is delivered again, times its receives")

    # Attempts of planning, and of finishing, that may end without a checkpoint. Chosen: a function that is killed begins again
    # after a quarter of an hour, so that a person is notified within an hour and a half. Attempts that follow each other sooner
    # than a message's delays after an error (a minute, two, three) count as one, so that a short outage does not end a job.
    stalled_attempts_max: int = _limit(5, "Attempts without a checkpoint after which a job ends")
    stalled_count_seconds: int = _limit(10 * MINUTE, "Attempts that follow sooner count as one")

    # A task may arrive after the drop that names it, because a sync has no order.
    task_wait_seconds: int = _limit(2 * MINUTE, "How long a drop waits for its task")
    # How long an upload that S3 refuses to give is looked at again, and how often. Chosen: permissions and policies take
    # seconds to minutes to be everywhere (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html, 2026-11-22).
    withheld_seconds_max: int = _limit(10 * MINUTE, "How long an upload that S3 refuses to give is looked at again")
    withheld_retry_seconds: int = _limit(30, "How often")
    # Claims outlive every redelivery: a dead-letter queue keeps messages for 14 days, a redrive starts again.
    ended_rows_kept_seconds: int = _limit(45 * DAY, "How long the rows of an ended job are kept")
    old_drop_seconds: int = _limit(7 * DAY, "Age from which a drop is not started automatically")
    # Drops whose event never came: a round over the inbox begins so often, so that each starts within the hour.
    inbox_round_seconds: int = _limit(50 * MINUTE, "How often the inbox is listed for drops whose event never came")
    # While this many messages wait for a submit function, some are events of files older than the next limit: then a round is put
    # off, for at most a day. Creates are 1,800 an hour, so this many take five minutes.
    queued_messages_max: int = _limit(150, "Messages in the queue from which that round is put off")
    inbox_round_put_off_seconds_max: int = _limit(DAY, "Longest time that it is put off")
    # A version that still has no job is announced again after this time. Chosen: 100,000 files that wait for two days would
    # otherwise make two million messages.
    told_again_seconds: int = _limit(6 * HOUR, "Wait before a drop that still has no job is announced again")
    # An event takes seconds; until then a version without a job is none that was missed.
    event_awaited_seconds: int = _limit(5 * MINUTE, "Age until which a drop without a job is not missed")
    # A page is 1,000 versions (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html, 2026-11-22).
    inbox_pages_per_tick_max: int = _limit(10, "Most pages of the inbox that are listed in a tick")
    # An installation begins with its first invocation; what was dropped a little before belongs to it.
    installation_slack_seconds: int = _limit(
        15 * MINUTE, "A drop so much older than the installation still belongs to it"
    )
