"""The life of one job, from the file to the notification: read this first.

Each step says who acts, what became durable and in which order, and how the ledger's rows are afterwards. The flows are those
that run in Lambda, the adapter to the provider is the real one, and a simulator answers it on the wire.

Rule: whatever dies between two lines of a step loses nothing. The rows say what to do next, and when: that is their due time.
"""

import json
from inspect import cleandoc

from fakes.diary import DiaryWorld

from batchdrop.flow import complete, poll

TASK = b"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  messages: [{role: user, content: "Is this praise? {{ review }}"}]
id: review_id
"""
REVIEWS = b"review_id,review\r\nr1,Good\r\nr2,Bad\r\nr3\r\nr4,Fine\r\n"  # r3 lacks its review
RESULTS = "results/praise/reviews.csv/JOB"  # the upload's key below inbox/, then the job's id


def test_the_life_of_one_job() -> None:
    """A CSV file with four rows becomes the same file with answers, and one notification; the provider is paid once."""
    world = DiaryWorld()
    world.storage.put_task("praise", TASK)

    # 1. SUBMIT. A person drops a file into `inbox/praise/`. The event of S3 starts the function `submit`, which
    #    - writes the job's row before it reads a byte: from here on `poll` finds the job, whatever happens;
    #    - copies the task, so that a later change of the task does not reach this job;
    #    - plans: three records become request lines of one chunk, and the one that cannot be asked gets its outcome at once;
    #    - cuts a shard, and reserves quota for it, in one transaction;
    #    - uploads the input file, and writes CREATING *before* the one call that costs money. If no answer came, the row
    #      would say that a batch may exist, and nothing would be sent again before that is known.
    job = world.drop("inbox/praise/reviews.csv", REVIEWS)

    assert world.written() == cleandoc(f"""
        ledger   job PLANNING
        bucket   internal/JOB/task.yaml
        bucket   internal/JOB/chunks/0/000000.jsonl
        bucket   {RESULTS}/items/000000003~invalid.json
        bucket   internal/JOB/refused/000000.jsonl
        bucket   internal/JOB/plan/000000.ids
        bucket   internal/JOB/plan/000000.json
        ledger   job RUNNING
        ledger   shard 0 RESERVED, job RUNNING
        provider POST /v1/files
        ledger   shard 0 UPLOADED
        ledger   shard 0 CREATING
        provider POST /v1/batches
        ledger   shard 0 RUNNING
    """)
    assert world.rows(job) == cleandoc("""
        job      RUNNING    4 items: 0 succeeded, 1 failed; 0 of 1 shards done; due now
        shard 0  RUNNING    3 items, attempt 1, create call 1; has a batch; due in 10 min
        quota    gpt-4.1-mini: reserved
    """)

    # 2. POLL. Nothing waits for the provider: no function runs until the schedule starts `poll`, once a minute. It reads the
    #    list of batches, and sees that the provider has taken ours. (Once an hour it also looks for files left at the provider.)
    world.advance(60)
    poll.tick(world.ports(), world.limits)

    assert world.written() == cleandoc("""
        provider GET /v1/batches
        provider GET /v1/files
    """)
    assert world.rows(job) == cleandoc("""
        job      RUNNING    4 items: 0 succeeded, 1 failed; 0 of 1 shards done; due now
        shard 0  RUNNING    3 items, attempt 1, create call 1; has a batch; due in 9 min
        quota    gpt-4.1-mini: taken by the provider
    """)

    # 3. POLL. A minute later the batch has ended. The shard gives its quota back, and a message wakes `complete`. Messages are
    #    only wake-ups: if this one is lost, the row is due again after some minutes, and a later tick sends another.
    world.advance(60)
    poll.tick(world.ports(), world.limits)

    assert world.written() == cleandoc("""
        provider GET /v1/batches
        ledger   shard 0 HARVESTING
        message  to complete: shard 0
    """)
    assert world.rows(job) == cleandoc("""
        job      RUNNING    4 items: 0 succeeded, 1 failed; 0 of 1 shards done; due now
        shard 0  HARVESTING 3 items, attempt 1, create call 1; has a batch; due in 16 min
        quota    gpt-4.1-mini: free
    """)

    # 4. COMPLETE. The answers are copied into our bucket before anything is made of them. Each becomes an outcome, and an
    #    object of its own. The shard is done, and its job counts it, in one transaction: so one worker alone sees that the
    #    last shard is done, and finishes the job. It merges the outcomes into the upload's own format, writes the summary
    #    last, and owes the notification (NOTIFYING) before it sends it. Only then is the job over, and the provider's
    #    files are deleted.
    world.deliver()

    assert world.written() == cleandoc(f"""
        provider GET /v1/batches/BATCH
        provider GET /v1/files/FILE/content
        bucket   internal/JOB/shards/000000/attempt-1/output.jsonl
        bucket   {RESULTS}/items/r1.json
        bucket   {RESULTS}/items/r2.json
        bucket   {RESULTS}/items/r4.json
        bucket   internal/JOB/shards/000000/part.jsonl
        ledger   shard 0 DONE, job FINISHING
        bucket   {RESULTS}/failures.csv
        bucket   {RESULTS}/results.csv
        bucket   {RESULTS}/outcomes.jsonl
        bucket   {RESULTS}/report.html
        bucket   {RESULTS}/summary.json
        ledger   job NOTIFYING
        topic    completed_with_failures
        ledger   job ENDED
        provider DELETE /v1/files/FILE
        provider DELETE /v1/files/FILE
    """)
    assert world.rows(job) == cleandoc("""
        job      ENDED      4 items: 3 succeeded, 1 failed; 1 of 1 shards done; never due
        shard 0  DONE       3 items, attempt 1, create call 1; has a batch; never due
        quota    gpt-4.1-mini: free
    """)

    # 5. WHAT THE PERSON HAS. One notification, the same file with answers, its failed row as a file to drop again, and an
    #    outcome for each record. `status.json` said at every step what was going on; it is left out of the pages above.
    (notification,) = world.notifications.published
    results = world.result(job, "results.csv").decode().splitlines()
    outcomes = [json.loads(line) for line in world.result(job, "outcomes.jsonl").splitlines()]
    assert notification.subject == "Batchdrop completed with failures: inbox/praise/reviews.csv"
    assert results[0] == "review_id,review,output,status,error"
    assert [row.split(",")[0] for row in results[1:]] == ["r1", "r2", "r3", "r4"]
    assert world.result(job, "failures.csv") == b"review_id,review\r\nr3\r\n"
    assert [(outcome["row"], outcome["status"]) for outcome in outcomes] == [
        (1, "succeeded"), (2, "succeeded"), (3, "failed"), (4, "succeeded"),
    ]  # fmt: skip
    assert json.loads(world.result(job, "status.json"))["state"] == "ENDED"

    # 6. AFTERWARDS. A wake-up message that comes again finds nothing to do; nothing is due; a tick asks the provider nothing.
    complete.handle_wakeup(world.ports(), world.limits, job, 0)
    complete.handle_wakeup(world.ports(), world.limits, job, None)
    world.tick()

    assert world.written() == ""
    assert not list(world.ledger.active())
    assert not world.charged_twice()
