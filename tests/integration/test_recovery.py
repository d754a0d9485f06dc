"""Drills for the day on which a table or a stack was lost: the command does it, and nothing is paid twice."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import openai
import pytest
from click.testing import CliRunner, Result
from fakes.shards import changed
from fakes.tables import create_table
from fakes.tasks import SAY_YES

from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.keys import Keys, Upload
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.edge.aws.dynamodb import _attributes  # what is put into a table that stands for a backup
from batchdrop_cli.aws.adopting import Left, adopt, import_template
from batchdrop_cli.aws.table_copy import contents, copy, read_rows
from batchdrop_cli.doctor.checks import open_ledger
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.local.deployment import Sources, upload
from batchdrop_cli.local.description import STACK_NAME
from batchdrop_cli.local.environments import Environments
from batchdrop_cli.local.provider import LocalProvider
from batchdrop_cli.local.stack import REPOSITORY, LocalSettings, LocalStack, parameters, put_key
from batchdrop_cli.local.template import localized, parse
from batchdrop_cli.main import main
from batchdrop_cli.stack import Site, read_site

KEY = "sk-simulated"
WAIT_SECONDS = 60
# A batch is under way for some seconds, so that a table can be lost meanwhile.
SLOW = ("--validate-seconds", "0.1", "--run-seconds", "4", "--finalize-seconds", "0.1", "--key", f"{KEY}=project")


class Drill:
    """A stack that nobody ticks but the drill, and what is seen of it from outside."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.options = stack.description.client_options()
        self.client = boto3.client("dynamodb", **self.options)

    @property
    def site(self) -> Site:
        """Where the stack runs; read anew, because a drill replaces it."""
        return read_site(self.options, STACK_NAME, is_local=True)

    def run(self, *words: str) -> Result:
        """Run the command for the stack."""
        return CliRunner().invoke(main, [*words, "--stack-file", str(self.stack.settings.description_file)])

    def tick(self) -> None:
        """Invoke poll once."""
        functions = boto3.client("lambda", **self.options)
        reply = functions.invoke(FunctionName=self.site.named("PollFunction"), Payload=b"{}")
        assert "FunctionError" not in reply, reply["Payload"].read()

    def drop(self, name: str) -> Upload:
        """Put a file into the inbox."""
        bucket, key = self.site.named("InboxBucket"), f"inbox/{name}.jsonl"
        put = boto3.client("s3", **self.options).put_object(Bucket=bucket, Key=key, Body=SAY_YES * 2)
        return Upload(bucket, key, put["VersionId"])

    def job(self, upload: Upload) -> Job | None:
        """Return the job's row."""
        return open_ledger(self.site).job(upload.job_id)

    def shards(self, upload: Upload) -> list[Shard]:
        """Return the rows of the job's shards."""
        return list(open_ledger(self.site).shards(upload.job_id))

    def until(self, is_so: Callable[[], bool]) -> None:
        """Tick until *is_so*."""
        ends_at = time.monotonic() + WAIT_SECONDS
        while not is_so():
            assert time.monotonic() < ends_at
            time.sleep(0.3)
            self.tick()

    def until_sent(self, upload: Upload) -> None:
        """Tick until the job's batch is at the provider."""
        self.until(lambda: [shard.state for shard in self.shards(upload)] == [ShardState.RUNNING])

    def until_ended(self, upload: Upload) -> Job:
        """Tick until the job is over, and return its row."""

        def is_over() -> bool:
            job = self.job(upload)
            return job is not None and job.state is JobState.ENDED

        self.until(is_over)
        job = self.job(upload)
        assert job is not None
        return job

    def summary(self, upload: Upload) -> dict[str, Any]:
        """Return the job's summary."""
        keys = Keys(upload.job_id, upload.key)
        storage = boto3.client("s3", **self.options)
        found: dict[str, Any] = json.loads(
            storage.get_object(Bucket=self.site.named("ResultsBucket"), Key=keys.summary)["Body"].read()
        )
        return found

    def batches(self, upload: Upload) -> int:
        """Return how many batches the provider has of the job."""
        provider = openai.OpenAI(base_url=self.stack.description.openai_base_url, api_key=KEY)
        return sum((batch.metadata or {}).get("job") == upload.job_id for batch in provider.batches.list(limit=100))

    def is_on(self) -> bool:
        """Return whether the schedule and both mappings are on; they are never on in part."""
        schedules: Any = boto3.client("scheduler", **self.options)
        functions = boto3.client("lambda", **self.options)
        states = {schedules.get_schedule(Name=self.site.named("Schedule"))["State"]}
        for name in ("SubmitFunction", "CompleteFunction"):
            found = functions.list_event_source_mappings(FunctionName=self.site.named(name))["EventSourceMappings"]
            states |= {mapping["State"].upper() for mapping in found}
        assert len(states) == 1
        return states == {"ENABLED"}

    def backed_up(self) -> str:
        """Return the name of a table that holds what the stack's holds now."""
        table = create_table(self.client)
        copy(self.client, self.site.named("Table"), table)
        return table


@pytest.fixture(scope="module")
def drill(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    """A stack of its own."""
    assert environments.emulator_python.exists()
    state = tmp_path_factory.mktemp("recovery")
    with LocalStack(LocalSettings(state=state, simulator_options=SLOW, tick_seconds=None)) as stack:
        put_key(stack.description.address, stack.description.secret_arn, KEY)
        made = Drill(stack)
        made.tick()
        yield made


def test_a_table_is_restored_while_work_is_under_way(drill: Drill) -> None:
    """`restore --at`: AWS restores into a new table, the rows come back, both sides are counted, and the job goes on."""
    table = drill.site.named("Table")
    off = drill.run("restore", "--at", "2026-11-23T10:00:00Z", "--wait", "0", "--yes")
    assert "Point-in-time recovery is off" in off.output
    assert drill.is_on()
    # The template says so; the emulator's CloudFormation does not do it.
    drill.client.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    upload = drill.drop("at")
    drill.until_sent(upload)
    before = contents(drill.client, table).rows

    done = drill.run("restore", "--at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "--wait", "0", "--yes")

    assert done.exit_code == 0, done.output
    assert f"has {before:,} rows" in done.output
    assert f"{before:,} rows are back" in done.output
    assert drill.is_on()
    assert [name for name in drill.client.list_tables()["TableNames"] if name.startswith(f"{table}-at-")] == []
    assert (drill.until_ended(upload).event, drill.batches(upload)) == ("completed", 1)


def test_what_was_sent_since_the_backup_is_adopted_or_claimed(drill: Drill) -> None:
    """`restore --from`: one job's batch was made after the moment, another job began after it. Nothing is sent again."""
    known = drill.drop("known")
    drill.until_sent(known)
    backup = drill.backed_up()
    (shard,) = drill.shards(known)
    earlier = changed(shard, state=ShardState.UPLOADED, batch="", batch_status="", intent_at=0, taken_at=0)
    drill.client.put_item(TableName=backup, Item=_attributes(earlier))
    unknown = drill.drop("unknown")
    drill.until_sent(unknown)

    done = drill.run("restore", "--from", backup, "--wait", "0", "--yes")

    assert done.exit_code == 0, done.output
    assert "1 shards have a batch again" in done.output
    assert unknown.job_id in done.output
    assert drill.is_on()
    assert drill.until_ended(known).event == "completed"
    claimed = drill.until_ended(unknown)
    assert claimed.reason is not None
    assert claimed.reason.code == "restored"
    assert (drill.batches(known), drill.batches(unknown)) == (1, 1)
    assert backup in drill.client.list_tables()["TableNames"]  # a person's own table is theirs


def test_what_fails_on_the_way_leaves_the_stack_off(drill: Drill) -> None:
    """Nothing runs on a table that was not held against the provider; the message says how to go on, and that works."""
    upload = drill.drop("off")
    drill.until_sent(upload)
    backup = drill.backed_up()
    key: Any = {"pk": {"S": "I"}, "sk": {"S": "META"}}
    install = drill.client.get_item(TableName=backup, Key=key)["Item"]
    drill.client.delete_item(TableName=backup, Key=key)

    failed = drill.run("restore", "--from", backup, "--wait", "0", "--yes")

    assert failed.exit_code == 1
    assert "installation's row" in failed.output
    assert "The stack is switched off" in failed.output
    assert f"batchdrop restore --from {backup}" in failed.output
    assert not drill.is_on()

    drill.client.put_item(TableName=backup, Item=install)
    assert drill.run("restore", "--from", backup, "--wait", "0", "--yes").exit_code == 0
    assert drill.is_on()
    assert (drill.until_ended(upload).event, drill.batches(upload)) == ("completed", 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--at TIME, or --from TABLE"),
        (("--at", "2026-11-23T10:00:00Z", "--from", "x"), "--at TIME, or --from TABLE"),
        (("--at", "yesterday", "--yes"), "isn't a time"),
        (("--at", "2026-11-23T10:00:00", "--yes"), "no time zone"),
        (("--at", "2026-11-23T10:00:00Z"), "Pass --yes"),
    ],
)
def test_a_restore_that_cannot_be_meant_changes_nothing(drill: Drill, words: tuple[str, ...], said: str) -> None:
    """The stack stays on."""
    done = drill.run("restore", *words)

    assert done.exit_code == 2
    assert said in done.output
    assert drill.is_on()


def test_an_empty_table_is_no_backup(drill: Drill) -> None:
    """A typo must not empty the ledger, nor switch anything off."""
    table = drill.site.named("Table")
    rows = contents(drill.client, table).rows
    assert rows

    for source, said in ((create_table(drill.client), "has no rows"), (table, "own table"), ("none-such", "none-such")):
        done = drill.run("restore", "--from", source, "--wait", "0", "--yes")
        assert done.exit_code == 1
        assert said in done.output or "not found" in done.output

    assert contents(drill.client, table).rows == rows
    assert drill.is_on()


# ---------------------------------------------------------------------- adopting


def complete(drill: Drill, environments: Environments) -> None:
    """Deploy the template over what was adopted, as `make deploy` does, and put the key there."""
    at = drill.stack.description
    sources = Sources(REPOSITORY, environments, Path(at.logs))
    template = parse((REPOSITORY / "template.yaml").read_text())
    cloudformation = boto3.client("cloudformation", **drill.options)
    given = parameters(LocalProvider(at.openai_base_url, KEY, simulated=True))
    cloudformation.update_stack(
        StackName=STACK_NAME,
        TemplateBody=json.dumps(localized(template, upload(at.address, sources, template))),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName=STACK_NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    put_key(at.address, drill.site.named("SecretArn"), KEY)


def test_what_a_deleted_stack_left_becomes_a_stack_again(drill: Drill, environments: Environments) -> None:
    """Jobs under way go on where they stood, in the same buckets, and drops are heard of again."""
    upload = drill.drop("left")
    drill.until_sent(upload)
    names = [drill.site.named(name) for name in ("InboxBucket", "ResultsBucket", "Table")]
    rows = len(list(read_rows(drill.client, names[2])))
    taken = drill.run("adopt", "--inbox", names[0], "--results", names[1], "--table", names[2], "--yes")
    assert "There is a stack batchdrop already" in taken.output
    cloudformation = boto3.client("cloudformation", **drill.options)
    cloudformation.delete_stack(StackName=STACK_NAME)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=STACK_NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )

    done = drill.run("adopt", "--inbox", names[0], "--results", names[1], "--table", names[2], "--yes")

    assert done.exit_code == 0, done.output
    assert f"make deploy STACK={STACK_NAME}" in done.output
    complete(drill, environments)
    assert [drill.site.named(name) for name in ("InboxBucket", "ResultsBucket", "Table")] == names
    assert len(list(read_rows(drill.client, names[2]))) >= rows
    assert drill.until_ended(upload).event == "completed"
    fresh = drill.drop("fresh")
    drill.until_sent(fresh)
    assert drill.until_ended(fresh).event == "completed"
    assert (
        drill.summary(upload)["counts"] == drill.summary(fresh)["counts"] == {"items": 2, "succeeded": 2, "failed": 0}
    )
    assert (drill.batches(upload), drill.batches(fresh)) == (1, 1)
    policy = boto3.client("s3", **drill.options).get_bucket_policy(Bucket=names[0])["Policy"]
    assert "TlsOnly" in policy


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("table", "not a table of Batchdrop"),
        ("no-table", "no table"),
        ("inbox", "keeps no versions"),
        ("policy", "of your own"),
    ],
)
def test_what_is_not_ours_is_not_adopted(drill: Drill, wrong: str, said: str) -> None:
    """A foreign table, a bucket without versions, a policy of the person's own: nothing is changed, no stack is made."""
    storage, bucket = boto3.client("s3", **drill.options), f"foreign-{wrong}"
    table = drill.site.named("Table")
    storage.create_bucket(Bucket=bucket)
    if wrong != "inbox":
        storage.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    if wrong == "table":
        table = "foreign"
        drill.client.create_table(
            TableName=table, BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )  # fmt: skip
    if wrong == "no-table":
        table = "none-such"
    sids = ["TlsOnly", "Own"] if wrong == "policy" else ["TlsOnly"]
    statements = [
        {
            "Sid": sid,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{bucket}/x",
        }
        for sid in sids
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    storage.put_bucket_policy(Bucket=bucket, Policy=policy)

    with pytest.raises(CommandFailed, match=said):
        adopt(drill.options, "other", Left(bucket, bucket, table), look_seconds=1)

    assert json.loads(storage.get_bucket_policy(Bucket=bucket)["Policy"]) == json.loads(policy)
    stacks = boto3.client("cloudformation", **drill.options).list_stacks()["StackSummaries"]
    assert "other" not in {stack["StackName"] for stack in stacks}


def test_what_is_imported_is_what_the_template_has() -> None:
    """CloudFormation changes nothing of what it knows to be the same, and replaces nothing for a name that is not there."""
    ours = parse((REPOSITORY / "template.yaml").read_text())["Resources"]
    imported = import_template(Left("inbox", "results", "table"))["Resources"]

    for name, resource in imported.items():
        assert resource["Type"] == ours[name]["Type"]
        assert not {"BucketName", "TableName"} & resource.get("Properties", {}).keys()
        assert not {"BucketName", "TableName"} & ours[name]["Properties"].keys()
    table = dict(imported["Table"]["Properties"])
    assert table.pop("SSESpecification") == {"SSEEnabled": True}
    assert table.items() <= ours["Table"]["Properties"].items()
    assert "Fn::" not in json.dumps(table) + json.dumps(list(table))
    assert set(ours["Table"]["Properties"]) == {*table, "SSESpecification"}
    own = import_template(Left("inbox", "results", "table", "arn:aws:kms:x"))["Resources"]["Table"]["Properties"]
    assert own["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": "arn:aws:kms:x"}
