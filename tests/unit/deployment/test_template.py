"""What the template promises, asserted on the template that CloudFormation receives.

The emulator does not model all of it: memory, architecture, concurrency, batching, and what AWS refuses but it accepts.
"""

import copy
import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from batchdrop.core.model.bounds import first_breach
from batchdrop.core.model.limits import Limits
from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.template import CODE_PROPERTIES, FUNCTION, Template, code_locations, localized

type Resource = dict[str, Any]

TEXT = (REPOSITORY / "template.yaml").read_text()
KEPT = {"Inbox", "InboxPolicy", "Results", "ResultsPolicy", "Table"}
NOTHING = {"Ref": "AWS::NoValue"}
OWN_KEY = {"Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, NOTHING]}
SECRET = {"Fn::If": ["CreatesSecret", {"Fn::GetAtt": ["Secret", "Id"]}, {"Ref": "OwnSecretArn"}]}
# What a function adds to is in Globals and with the function.
MERGED = {"Environment", "LoggingConfig"}
FUNCTIONS = ("Submit", "Poll", "Complete")
QUEUES = {"Submit": "SubmissionsQueue", "Complete": "CompletionsQueue"}


def of_type(resources: dict[str, Resource], kind: str) -> dict[str, Resource]:
    """Return the resources of one type."""
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def references(value: object) -> Iterator[str]:
    """Yield every name that *value* refers to by Ref, GetAtt or Sub."""
    if isinstance(value, list):
        for member in value:
            yield from references(member)
    if not isinstance(value, dict):
        return
    for key, member in value.items():
        if key == "Ref":
            yield member
        elif key == "Fn::GetAtt":
            yield member[0]
        elif key == "Fn::Sub":
            yield from re.findall(r"\$\{(\w+)[.}]", member if isinstance(member, str) else member[0])
        else:
            yield from references(member)


def conditions(value: object) -> Iterator[str]:
    """Yield every condition that *value* asks for, by Condition or If."""
    members = value if isinstance(value, list) else value.values() if isinstance(value, dict) else []
    for member in members:
        yield from conditions(member)
    if isinstance(value, dict):
        asked = [value.get("Condition"), *value.get("Fn::If", [])[:1]]
        yield from (name for name in asked if isinstance(name, str))


def statements(role: Resource) -> list[Resource]:
    """Return every statement of a role's policies."""
    return [
        statement for policy in role["Properties"]["Policies"] for statement in policy["PolicyDocument"]["Statement"]
    ]


def listed(value: Any) -> list[Any]:  # noqa: ANN401  # a policy's
    """Return *value* as the list that it stands for."""
    return value if isinstance(value, list) else [value]


def test_template_has_no_yaml_alias() -> None:
    """CloudFormation's own reader takes the template: it refuses aliases, which other tools resolve."""
    assert re.findall(r"(?m)(?:^|\s)[&*]\w+\s*$", TEXT) == []


@pytest.mark.parametrize("kind", ["Parameters", "Outputs"])
def test_parameters_and_outputs_are_described(template: Template, kind: str) -> None:
    """Whoever deploys reads what each parameter does and what each output is."""
    undescribed = [
        name for name, declared in template[kind].items() if not declared.get("Description", "").endswith(".")
    ]

    assert undescribed == []


def test_parameters_and_conditions_are_used(template: Template) -> None:
    """No parameter is accepted that does nothing."""
    used = (
        set(references(template["Resources"]))
        | set(references(template["Conditions"]))
        | set(references(template["Globals"]))
    )

    assert set(template["Parameters"]) <= used
    assert set(template["Conditions"]) == set(conditions(template))


def test_template_reads_as_the_way_of_a_drop(template: Template) -> None:
    """From the inbox to the notification, and only then who watches."""
    order = [*template["Resources"]]
    way = [
        "Inbox", "SubmissionsQueue", "Submit", "SubmitLogs", "Table", "Poll", "PollLogs", "CompletionsQueue", "Complete",
        "CompleteLogs", "Results", "Topic", "NoticesByEmail", "AlarmsTopic", "NoTickAlarm", "Dashboard",
    ]  # fmt: skip

    assert sorted(way, key=order.index) == way
    alarms = [name for name, resource in template["Resources"].items() if resource["Type"] == "AWS::CloudWatch::Alarm"]
    assert order[order.index(alarms[0]) :] == [*alarms, "Dashboard"]


def test_what_is_alike_is_written_alike(template: Template) -> None:
    """Function, role and log stand side by side; properties, statements and alarms have one order; what is common stands once."""
    order, resources = [*template["Resources"]], template["Resources"]
    blocks = [[name, f"{name}Role", f"{name}Logs"] for name in FUNCTIONS]
    alarms = [resource["Properties"] for resource in resources.values() if resource["Type"] == "AWS::CloudWatch::Alarm"]
    sids = [[statement["Sid"] for statement in statements(resources[f"{name}Role"])] for name in FUNCTIONS]
    own = [resources[name]["Properties"]["Environment"]["Variables"] for name in FUNCTIONS]

    assert [order[order.index(block[0]) :][:3] for block in blocks] == blocks
    assert contradictions([list(resources[name]["Properties"]) for name in FUNCTIONS]) == set()
    assert contradictions([list(resources[f"{name}Role"]["Properties"]) for name in FUNCTIONS]) == set()
    assert contradictions([list(alarm) for alarm in alarms]) == set()
    assert contradictions(sids) == set()
    assert [variable for variable in own[0] if all(variable in each for each in own)] == ["POWERTOOLS_SERVICE_NAME"]
    assert not [
        name
        for name in FUNCTIONS
        if template["Globals"]["Function"].keys() & resources[name]["Properties"].keys() - MERGED
    ]


def contradictions(lists: list[list[str]]) -> set[tuple[str, str]]:
    """Return each pair of names that one list has in one order and another in the other."""
    pairs = {pair for names in lists for pair in itertools.combinations(names, 2)}
    return {pair for pair in pairs if pair[::-1] in pairs}


def test_no_resource_waits_for_itself(resources: dict[str, Resource]) -> None:
    """The stack can be created: nothing depends on itself, on whatever way."""
    waits_for = {
        name: ({*references(resource), *listed(resource.get("DependsOn", []))} & set(resources)) - {name}
        for name, resource in resources.items()
    }
    while ready := [name for name, waited in waits_for.items() if not waited]:
        for name in ready:
            del waits_for[name]
        waits_for = {name: waited - set(ready) for name, waited in waits_for.items()}

    assert waits_for == {}


def test_inbox_waits_for_the_queue_to_admit_s3(resources: dict[str, Resource]) -> None:
    """S3 tests the queue while the notification is set."""
    assert resources["Inbox"]["DependsOn"] == "SubmissionsQueuePolicy"


def test_nothing_is_named_by_hand(resources: dict[str, Resource]) -> None:
    """Two stacks never collide: no bucket, queue, table, topic, function, schedule, role or secret has a name of its own."""
    naming = {
        "BucketName",
        "QueueName",
        "TableName",
        "TopicName",
        "FunctionName",
        "RoleName",
        "Name",
        "LogGroupName",
        "AlarmName",
    }

    named = {
        name
        for name, resource in resources.items()
        if naming & set(resource.get("Properties", {}))
        and resource["Type"] not in {"AWS::Lambda::EventSourceMapping", "AWS::Lambda::EventInvokeConfig"}
    }

    assert named == set()


def test_what_holds_work_is_kept(resources: dict[str, Resource]) -> None:
    """Deleting the stack deletes nobody's files, results or ledger; a kept bucket goes on refusing what is not TLS.

    A first deployment that fails leaves nothing: `RetainExceptOnCreate` deletes what that very deployment made
    (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html, read 2026-11-30).
    UpdateReplacePolicy does not know that value.
    """
    kept = {name for name, resource in resources.items() if resource.get("DeletionPolicy") == "RetainExceptOnCreate"}
    replaced = {name for name, resource in resources.items() if resource.get("UpdateReplacePolicy") == "Retain"}

    assert kept == replaced == KEPT
    assert not [name for name, resource in resources.items() if resource.get("DeletionPolicy") == "Retain"]


@pytest.mark.parametrize("name", ["Inbox", "Results"])
def test_buckets_are_private_versioned_and_encrypted(resources: dict[str, Resource], name: str) -> None:
    """No bucket is public, forgets a version, or keeps parts of uploads that were given up."""
    bucket = resources[name]["Properties"]

    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert {"DaysAfterInitiation": 2} in [
        rule.get("AbortIncompleteMultipartUpload") for rule in bucket["LifecycleConfiguration"]["Rules"]
    ]


def test_old_objects_expire_where_nobody_looks_for_them(resources: dict[str, Resource]) -> None:
    """internal/, superseded versions and words to jobs go; uploads stay, and results unless a parameter bounds them."""
    rules = {name: resources[name]["Properties"]["LifecycleConfiguration"]["Rules"] for name in ("Inbox", "Results")}

    assert [
        (rule.get("Prefix"), rule["NoncurrentVersionExpiration"])
        for rule in rules["Inbox"]
        if "NoncurrentVersionExpiration" in rule
    ] == [(None, {"NoncurrentDays": 90}), ("control/", {"NoncurrentDays": 1})]
    expiring = [rule for name in rules for rule in rules[name] if "ExpirationInDays" in rule]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in expiring] == [
        ("control/", 1),
        ("internal/", {"Ref": "InternalRetentionDays"}),
        ("results/", {"Fn::If": ["ExpiresResults", {"Ref": "ResultsRetentionDays"}, 3650]}),
    ]
    (results,) = [rule for rule in expiring if rule["Prefix"] == "results/"]
    assert results["Status"] == {"Fn::If": ["ExpiresResults", "Enabled", "Disabled"]}


def test_only_drops_and_words_to_jobs_are_announced(resources: dict[str, Resource]) -> None:
    """S3 announces what is created below inbox/ and control/ and nothing else, to the submissions queue."""
    announced = resources["Inbox"]["Properties"]["NotificationConfiguration"]["QueueConfigurations"]

    assert announced == [
        {
            "Event": "s3:ObjectCreated:*",
            "Queue": {"Fn::GetAtt": ["SubmissionsQueue", "Arn"]},
            "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": prefix}]}},
        }
        for prefix in ("inbox/", "control/")
    ]
    assert "NotificationConfiguration" not in resources["Results"]["Properties"]


@pytest.mark.parametrize(
    ("policy", "covers"),
    [
        ("InboxPolicy", [{"Fn::GetAtt": ["Inbox", "Arn"]}, {"Fn::Sub": "${Inbox.Arn}/*"}]),
        ("ResultsPolicy", [{"Fn::GetAtt": ["Results", "Arn"]}, {"Fn::Sub": "${Results.Arn}/*"}]),
        ("SubmissionsQueuePolicy", [{"Fn::GetAtt": ["SubmissionsQueue", "Arn"]}]),
        ("CompletionsQueuePolicy", [{"Fn::GetAtt": ["CompletionsQueue", "Arn"]}]),
        ("TopicPolicy", [{"Ref": "Topic"}]),
        ("AlarmsTopicPolicy", [{"Ref": "AlarmsTopic"}]),
    ],
)
def test_everything_is_tls_only(resources: dict[str, Resource], policy: str, covers: list[Any]) -> None:
    """Nobody reads or writes a bucket, a queue or the topic in the clear."""
    denials = [
        statement
        for statement in resources[policy]["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    ]

    assert [(denial["Principal"], listed(denial["Resource"])) for denial in denials] == [("*", covers)]


def test_queue_admits_s3_of_this_account_alone(resources: dict[str, Resource]) -> None:
    """No other account's bucket can put a message into the submissions queue, in any partition."""
    (allowed,) = [
        statement
        for statement in resources["SubmissionsQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]

    assert allowed["Principal"] == {"Service": "s3.amazonaws.com"}
    assert allowed["Action"] == "sqs:SendMessage"
    assert allowed["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        "ArnLike": {"aws:SourceArn": {"Fn::Sub": "arn:${AWS::Partition}:s3:::*"}},
    }


@pytest.mark.parametrize(("function", "queue"), QUEUES.items())
def test_queue_outlasts_six_attempts_and_ends_in_a_watched_dead_letter_queue(
    resources: dict[str, Resource], function: str, queue: str
) -> None:
    """A message is hidden for six time-outs of its function, read five times, then kept a fortnight where an alarm watches."""
    dead_letters = queue.replace("Queue", "DeadLetterQueue")
    properties = resources[queue]["Properties"]

    assert properties["VisibilityTimeout"] == 6 * resources[function]["Properties"]["Timeout"]
    assert properties["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_letters, "Arn"]},
        "maxReceiveCount": 5,
    }
    assert resources[dead_letters]["Properties"]["MessageRetentionPeriod"] == 14 * 86400
    alarm = resources[queue.replace("Queue", "DeadLetterAlarm")]["Properties"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": [dead_letters, "QueueName"]}}]
    assert alarm["AlarmActions"] == [{"Ref": "AlarmsTopic"}]


def test_every_queue_is_encrypted(resources: dict[str, Resource]) -> None:
    """No message lies in the clear: SQS's own key encrypts it, or the one that was given."""
    queues = of_type(resources, "AWS::SQS::Queue")

    assert len(queues) == 4
    for queue in queues.values():
        assert queue["Properties"]["SqsManagedSseEnabled"] == {"Fn::If": ["HasKmsKey", NOTHING, True]}
        assert queue["Properties"]["KmsMasterKeyId"] == OWN_KEY


@pytest.mark.parametrize(("function", "queue"), QUEUES.items())
def test_mapping_brings_single_messages_at_a_bounded_width(
    resources: dict[str, Resource], function: str, queue: str
) -> None:
    """One message an invocation, which fails by raising, and a parameter bounds how many run side by side.

    Reports of single failures would tell apart the messages of a batch, and there is one; the handlers return none.
    """
    (mapping,) = [
        mapping["Properties"]
        for mapping in of_type(resources, "AWS::Lambda::EventSourceMapping").values()
        if mapping["Properties"]["FunctionName"] == {"Ref": function}
    ]

    assert mapping["EventSourceArn"] == {"Fn::GetAtt": [queue, "Arn"]}
    assert mapping["BatchSize"] == 1
    assert "FunctionResponseTypes" not in mapping
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "MaximumConcurrency"}}
    assert "MaximumBatchingWindowInSeconds" not in mapping


def test_what_is_kept_on_disk_fits(resources: dict[str, Resource]) -> None:
    """A shard of the largest size is sent, and the answers of a batch are kept, with a quarter of the disk to spare."""
    disks = {name: resources[name]["Properties"]["EphemeralStorage"]["Size"] << 20 for name in ("Submit", "Complete")}

    for limits in (Limits(), Limits(shard_bytes_max=200_000_000)):
        assert first_breach(limits) is None
        assert limits.shard_bytes_max < 0.75 * disks["Submit"]
        assert limits.answer_spool_bytes_max < 0.75 * disks["Complete"]


def test_concurrency_stays_within_what_lambda_takes(template: Template) -> None:
    """The parameter cannot be set to what AWS refuses, and by default leaves a new account quota."""
    parameter = template["Parameters"]["MaximumConcurrency"]

    assert (parameter["MinValue"], parameter["MaxValue"], parameter["Default"]) == (2, 1000, 2)


@pytest.mark.parametrize(
    ("name", "timeout", "memory", "disk"),
    [("Submit", 900, 1769, 2048), ("Poll", 120, 512, None), ("Complete", 900, 1769, 2048)],
)
def test_functions_are_sized(
    resources: dict[str, Resource], name: str, timeout: int, memory: int, disk: int | None
) -> None:
    """Each function has the time, memory and disk that it was planned with, no reserved concurrency, and no tracing."""
    function = resources[name]["Properties"]

    assert (function["Timeout"], function["MemorySize"], function.get("EphemeralStorage", {}).get("Size")) == (
        timeout,
        memory,
        disk,
    )
    # poll keeps a hinted row back for as long as the workers may run, whatever its own time-out.
    assert function["Environment"]["Variables"]["WORKER_TIMEOUT_SECONDS"] == "900"
    assert function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == name.lower()
    assert (function["Runtime"], function["Handler"]) == ("python3.13", "app.handler")
    assert function["Architectures"] == [{"Ref": "Architecture"}]
    assert not {"ReservedConcurrentExecutions", "TracingConfig"} & set(function)


def test_every_variable_is_text(resources: dict[str, Resource]) -> None:
    """A variable is text or a reference: AWS turns numbers into text, the emulator's functions do not start with them."""
    for name in FUNCTIONS:
        variables = resources[name]["Properties"]["Environment"]["Variables"]

        assert all(isinstance(value, str | dict) for value in variables.values())


def test_key_is_never_in_a_variable(resources: dict[str, Resource]) -> None:
    """The secret is created without a value, and functions know only where it is."""
    assert set(resources["Secret"]["Properties"]) == {"Description", "KmsKeyId"}
    for name in FUNCTIONS:
        variables = resources[name]["Properties"]["Environment"]["Variables"]

        assert variables["SECRET_ARN"] == SECRET
        assert not [variable for variable in variables if "KEY" in variable]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_logs_are_json_and_kept_for_a_while(resources: dict[str, Resource], name: str) -> None:
    """Each function writes JSON to a log group of its own, whose retention is a parameter."""
    logging = resources[name]["Properties"]["LoggingConfig"]

    assert logging == {"LogFormat": "JSON", "LogGroup": {"Ref": f"{name}Logs"}}
    assert resources[f"{name}Logs"]["Properties"] == {
        "RetentionInDays": {"Ref": "LogRetentionDays"},
        "KmsKeyId": OWN_KEY,
    }


def test_a_key_of_one_s_own_encrypts_everything(resources: dict[str, Resource]) -> None:
    """Where a key is given, buckets, table, queues, topics, secret and logs use it, and each function may use it."""
    properties = {name: resource["Properties"] for name, resource in resources.items() if "Properties" in resource}

    for name in ("Topic", "AlarmsTopic"):
        assert properties[name]["KmsMasterKeyId"] == OWN_KEY
    for name in ("Inbox", "Results"):
        (rule,) = properties[name]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {
            "SSEAlgorithm": {"Fn::If": ["HasKmsKey", "aws:kms", "AES256"]},
            "KMSMasterKeyID": OWN_KEY,
        }
    assert properties["Table"]["SSESpecification"]["KMSMasterKeyId"] == OWN_KEY
    assert properties["Secret"]["KmsKeyId"] == OWN_KEY


def test_functions_have_the_key_before_they_exist(resources: dict[str, Resource]) -> None:
    """A function that is there may use the key: its role refers to the policy, and a role stands before its function.

    By a reference in a choice, not by DependsOn: a resource that depends on one whose condition is false is not made either
    (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-condition.html, read 2026-11-30).
    """
    conditional = {name for name, resource in resources.items() if "Condition" in resource}
    uses = {"Fn::If": ["UsesKmsKeys", [{"Ref": "KmsUse"}], NOTHING]}

    assert {name: resources[f"{name}Role"]["Properties"]["ManagedPolicyArns"] for name in FUNCTIONS} == dict.fromkeys(
        FUNCTIONS, uses
    )
    assert "KmsUse" in conditional
    depending = {name: set(listed(resource.get("DependsOn", []))) for name, resource in resources.items()}
    assert not [name for name, needed in depending.items() if needed & conditional]


def test_policies_that_stand_alone_are_waited_for(resources: dict[str, Resource]) -> None:
    """No policy is attached to a role from outside: a function could exist, and be called, before it."""
    assert of_type(resources, "AWS::IAM::Policy") == {}
    assert of_type(resources, "AWS::IAM::RolePolicy") == {}
    for mapping in of_type(resources, "AWS::Lambda::EventSourceMapping").values():
        assert mapping["Properties"]["FunctionName"]["Ref"] in FUNCTIONS


def test_former_keys_are_read_with_and_no_more(resources: dict[str, Resource], template: Template) -> None:
    """Objects that a former key encrypted stay readable, also where there is no key now; nothing new is encrypted with it."""
    now, formerly = resources["KmsUse"]["Properties"]["PolicyDocument"]["Statement"]

    assert now["Fn::If"][0] == "HasKmsKey"
    assert (now["Fn::If"][1]["Action"], now["Fn::If"][1]["Resource"]) == (
        ["kms:Decrypt", "kms:GenerateDataKey"],
        {"Ref": "KmsKeyArn"},
    )
    assert formerly["Fn::If"][0] == "HasFormerKmsKeys"
    assert (formerly["Fn::If"][1]["Action"], formerly["Fn::If"][1]["Resource"]) == (
        "kms:Decrypt",
        {"Ref": "FormerKmsKeyArns"},
    )
    assert resources["KmsUse"]["Condition"] == "UsesKmsKeys"
    assert template["Conditions"]["UsesKmsKeys"] == {
        "Fn::Or": [{"Condition": "HasKmsKey"}, {"Condition": "HasFormerKmsKeys"}]
    }


KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRET_ARN = "arn:aws-us-gov:secretsmanager:us-gov-west-1:111122223333:secret:team/openai-a1B2c3"


@pytest.mark.parametrize(
    ("parameter", "taken", "refused"),
    [
        (
            parameter,
            ["", KEY_ARN, "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"],
            ["alias/batchdrop", "1234abcd-12ab-34cd-56ef-1234567890ab", KEY_ARN.replace("key/", "alias/"), f"{KEY_ARN} ",
             SECRET_ARN],
        )
        for parameter in ("KmsKeyArn", "FormerKmsKeyArns")
    ] + [
        ("OwnSecretArn", ["", SECRET_ARN, SECRET_ARN.replace("team/openai", "a+b=c@d.e_f")],
         ["team/openai", SECRET_ARN.removesuffix("-a1B2c3"), KEY_ARN]),
        ("PermissionsBoundaryArn",
         ["", "arn:aws:iam::111122223333:policy/team/boundary", "arn:aws:iam::aws:policy/PowerUserAccess"],
         ["boundary", "arn:aws:iam::111122223333:role/boundary", KEY_ARN]),
    ],
)  # fmt: skip
def test_an_arn_is_one_before_anything_is_made(
    template: Template, parameter: str, taken: list[str], refused: list[str]
) -> None:
    """An alias, an id, a name or a piece of an ARN is refused at once, in words, and not half-way through a deployment.

    CloudFormation matches the whole value, and each value of a list
    (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html, read 2026-11-30).
    """
    declared = template["Parameters"][parameter]

    assert [given for given in taken if not re.fullmatch(declared["AllowedPattern"], given)] == []
    assert [given for given in refused if re.fullmatch(declared["AllowedPattern"], given)] == []
    assert declared["ConstraintDescription"].startswith("must be ")
    assert "arn:aws:" in declared["ConstraintDescription"]


def test_every_arn_that_is_given_has_a_pattern(template: Template) -> None:
    """No parameter for an ARN takes what is none."""
    arns = {name: declared for name, declared in template["Parameters"].items() if re.search(r"Arns?$", name)}

    assert arns.keys() >= {"OwnSecretArn", "KmsKeyArn", "FormerKmsKeyArns", "PermissionsBoundaryArn"}
    assert [name for name, declared in arns.items() if "arn:aws" not in declared.get("AllowedPattern", "")] == []


def test_every_role_can_be_bounded(resources: dict[str, Resource]) -> None:
    """An organization that asks for a permissions boundary can give it: no role is left out, the schedule's neither."""
    boundary = {"Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundaryArn"}, NOTHING]}

    assert {
        name: role["Properties"].get("PermissionsBoundary")
        for name, role in of_type(resources, "AWS::IAM::Role").items()
    } == dict.fromkeys(("SubmitRole", "PollRole", "CompleteRole", "PollTickRole"), boundary)


def test_each_function_has_a_role_of_its_own(resources: dict[str, Resource]) -> None:
    """No role is shared, none has a managed policy but the key's, and only Lambda may take it.

    The schedule's own role invokes Poll alone.
    """
    roles = of_type(resources, "AWS::IAM::Role")

    assert {name: resources[name]["Properties"]["Role"] for name in FUNCTIONS} == {
        name: {"Fn::GetAtt": [f"{name}Role", "Arn"]} for name in FUNCTIONS
    }
    assert set(roles) == {"SubmitRole", "PollRole", "CompleteRole", "PollTickRole"}
    assert {name: set(references(role["Properties"].get("ManagedPolicyArns", []))) for name, role in roles.items()} == {
        **{f"{name}Role": {"KmsUse", "AWS::NoValue"} for name in FUNCTIONS},
        "PollTickRole": set(),
    }
    for name in FUNCTIONS:
        (trust,) = roles[f"{name}Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    (invoke,) = statements(roles["PollTickRole"])
    assert (invoke["Action"], invoke["Resource"]) == ("lambda:InvokeFunction", {"Fn::GetAtt": ["Poll", "Arn"]})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_roles_name_what_they_allow(resources: dict[str, Resource], name: str) -> None:
    """Every action and every resource is named; a star stands only behind a folder of a bucket of ours."""
    for statement in statements(resources[f"{name}Role"]):
        assert not [action for action in listed(statement["Action"]) if "*" in action]
        for resource in listed(statement["Resource"]):
            assert isinstance(resource, dict), resource
            star = str(resource.get("Fn::Sub", ""))
            assert "*" not in star or re.fullmatch(
                r"\$\{(Inbox|Results)\.Arn\}/(inbox|tasks|internal|results)/\*", star
            )


def test_policies_for_people_name_what_they_allow(resources: dict[str, Resource], template: Template) -> None:
    """What may be attached to people allows named actions on a folder of ours or the stack's outputs, and each is an output."""
    policies = of_type(resources, "AWS::IAM::ManagedPolicy")
    del policies["KmsUse"]  # the functions'

    for policy in policies.values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            actions, (resource,) = listed(statement["Action"]), listed(statement["Resource"])
            assert not [action for action in actions if "*" in action]
            assert ("Condition" in statement) == (actions == ["s3:ListBucket"])
            assert "Fn::GetAtt" in resource or re.fullmatch(
                r"\$\{(Inbox|Results)\.Arn\}/(inbox|tasks|control|results)/\*|arn:.*:stack/\$\{AWS::StackName\}/\*",
                resource["Fn::Sub"],
            )
    assert {template["Outputs"][f"{name}Policy"]["Value"]["Ref"] for name in policies} == {
        "Dropper",
        "TaskAuthor",
        "Operator",
    }


def place(resource: Resource) -> str:
    """Return what a statement allows something on, as the template names it; of a choice, the stack's own."""
    own = resource["Fn::If"][1] if "Fn::If" in resource else resource
    return str(own.get("Fn::Sub") or own.get("Ref") or ".".join(own["Fn::GetAtt"]))


def allowed(resources: dict[str, Resource], function: str, service: str) -> set[tuple[str, str]]:
    """Return the actions on one service that *function* may do, each with what it may do them to."""
    return {
        (action.partition(":")[2], place(resource))
        for statement in statements(resources[f"{function}Role"])
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
        if action.startswith(f"{service}:")
    }


@pytest.mark.parametrize(
    ("function", "service", "expected"),
    [
        ("Submit", "sns", set()),
        ("Poll", "sns", set()),
        ("Complete", "sns", {("Publish", "Topic")}),
        (
            "Poll",
            "sqs",
            {
                ("SendMessage", "SubmissionsQueue.Arn"),
                ("SendMessage", "CompletionsQueue.Arn"),
                ("GetQueueAttributes", "SubmissionsQueue.Arn"),
            },
        ),
        (
            "Poll",
            "s3",
            {
                ("ListBucketVersions", "Inbox.Arn"),
                ("GetObject", "${Results.Arn}/internal/*"),
                ("PutObject", "${Results.Arn}/results/*"),
            },
        ),
        ("Poll", "logs", {("CreateLogStream", "PollLogs.Arn"), ("PutLogEvents", "PollLogs.Arn")}),
        ("Submit", "secretsmanager", {("GetSecretValue", "Secret.Id")}),
    ],
)
def test_roles_allow_no_more(
    resources: dict[str, Resource], function: str, service: str, expected: set[tuple[str, str]]
) -> None:
    """A function may do on a service what it needs there, exactly."""
    assert allowed(resources, function, service) == expected


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nobody_deletes_or_writes_where_the_trigger_listens(resources: dict[str, Resource], function: str) -> None:
    """No function can delete anything but its own messages, and none writes into the inbox: a loop is impossible."""
    actions = {action for service in ("s3", "dynamodb") for action, _ in allowed(resources, function, service)}
    written = {place for action, place in allowed(resources, function, "s3") if action == "PutObject"}

    assert not [action for action in actions if "Delete" in action]
    assert all(place.startswith("${Results.Arn}/") for place in written)


def test_listing_is_limited_to_a_folder(resources: dict[str, Resource]) -> None:
    """A function that may tell missing from forbidden sees the names of its own folders only."""
    for name in FUNCTIONS:
        listings = [
            statement
            for statement in statements(resources[f"{name}Role"])
            if {"s3:ListBucket", "s3:ListBucketVersions"} & set(listed(statement["Action"]))
        ]

        assert all(listed(listing["Condition"]["StringLike"]["s3:prefix"]) for listing in listings)


def test_ledger_is_one_table_with_a_sparse_index(resources: dict[str, Resource]) -> None:
    """The ledger can be restored to any second, forgets ended jobs by itself, and knows what is due."""
    table = resources["Table"]["Properties"]
    (index,) = table["GlobalSecondaryIndexes"]

    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] == [("pk", "HASH"), ("sk", "RANGE")]
    assert (index["IndexName"], index["Projection"]) == ("due", {"ProjectionType": "ALL"})
    assert [(key["AttributeName"], key["KeyType"]) for key in index["KeySchema"]] == [
        ("due_pk", "HASH"),
        ("due_at", "RANGE"),
    ]
    assert {"AttributeName": "due_at", "AttributeType": "N"} in table["AttributeDefinitions"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"]["SSEEnabled"] is True


def test_poll_runs_each_minute_and_is_not_repeated(resources: dict[str, Resource], template: Template) -> None:
    """A tick that failed is made good by the next: neither the schedule nor Lambda repeats it beside it.

    By default it comes each minute.
    """
    (schedule,) = of_type(resources, "AWS::Scheduler::Schedule").values()
    (asynchronous,) = of_type(resources, "AWS::Lambda::EventInvokeConfig").values()

    assert schedule["Properties"]["ScheduleExpression"]["Fn::If"][:2] == ["PollsEachMinute", "rate(1 minute)"]
    assert template["Parameters"]["PollMinutes"]["Default"] == 1
    assert schedule["Properties"]["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 0}
    assert asynchronous["Properties"]["MaximumRetryAttempts"] == 0


def test_email_is_subscribed_only_where_an_address_is_given(resources: dict[str, Resource]) -> None:
    """Without an address there is no subscription to confirm."""
    subscriptions = of_type(resources, "AWS::SNS::Subscription")

    assert {name: subscription["Condition"] for name, subscription in subscriptions.items()} == {
        "NoticesByEmail": "NotifiesByEmail",
        "AlarmsByEmail": "AlarmsByEmail",
    }


def test_layer_holds_the_package_for_the_chosen_processor(resources: dict[str, Resource], template: Template) -> None:
    """One layer serves all functions, built by its own Makefile for the architecture that the functions have."""
    (layer,) = of_type(resources, "AWS::Lambda::LayerVersion").values()

    assert layer["Properties"]["CompatibleArchitectures"] == [{"Ref": "Architecture"}]
    assert template["Resources"]["Layer"]["Metadata"] == {"BuildMethod": "makefile"}
    assert (REPOSITORY / template["Resources"]["Layer"]["Properties"]["ContentUri"] / "Makefile").exists()


def test_locally_only_code_and_runtime_differ(template: Template) -> None:
    """What runs on one machine is the template as it stands, but for where code lies and the runtime that runs it."""
    code = {name: f"s3://artifacts/{name}.zip" for name in code_locations(template)}

    local = localized(template, code)

    assert set(code) == {"Layer", *FUNCTIONS}
    assert local["Globals"]["Function"].pop("Runtime") == "provided.al2023"
    expected = copy.deepcopy(template)
    del expected["Globals"]["Function"]["Runtime"]
    for name, address in code.items():
        place = CODE_PROPERTIES[expected["Resources"][name]["Type"]]
        assert local["Resources"][name]["Properties"].pop(place) == address
        del expected["Resources"][name]["Properties"][place]
    assert local == expected
    assert not [name for name in FUNCTIONS if "Runtime" in template["Resources"][name]["Properties"]]
    assert {resource["Type"] for resource in template["Resources"].values()} >= {FUNCTION}
