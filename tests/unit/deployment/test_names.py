"""Names that outlive a release: what a stack of an earlier one would lose, and what one setting is called on its way to the code.

A resource whose logical id or fixed property changes is replaced by an empty one: jobs are forgotten, mail stops in silence.
`released/` has what each release left. Run this file as a script at a release to write its page:
`python tests/unit/deployment/test_names.py VERSION TEMPLATE`.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from audit import translated
from batchdrop.core.model.limits import Limits
from batchdrop.edge.settings import LIMIT_PREFIX, Settings, limit_variable
from batchdrop_cli.local.template import Template, parse

type Values = dict[str, Any]

RELEASED = Path(__file__).parent / "released"
RELEASES = sorted(path.stem for path in RELEASED.glob("*.json"))
# What a release no longer has, each with why nothing is lost by it.
GONE = {
    "KmsAccess": "The functions' use of the KMS key, now the managed policy KmsUse: attached before the old one is deleted."
}
# What people's work, mail and money hang on, whatever else is frozen.
STATEFUL = {
    "Inbox", "Results", "Table", "Secret", "Topic", "NoticesByEmail", "AlarmsTopic", "AlarmsByEmail", "SubmissionsQueue",
    "SubmissionsDeadLetterQueue", "CompletionsQueue", "CompletionsDeadLetterQueue", "SubmitHints", "CompleteHints", "PollTick",
    "SubmitLogs", "PollLogs", "CompleteLogs",
}  # fmt: skip
# cfn-lint lists what is always fixed; a table's keys are so only mostly ("some updates require replacement").
ALSO_FIXED = {"AWS::DynamoDB::Table": ["KeySchema"]}

# Variables that a parameter decides about, but that are none of ours.
BORROWED = {"AWS_USE_FIPS_ENDPOINT": "boto3's own, which takes true or false; UseFipsEndpoints says yes or no."}
# Settings that no template sets.
FROM_OUTSIDE = {"aws_region", "aws_endpoint_url"}


def released(release: str) -> Values:
    """Return what *release* left."""
    page: Values = json.loads((RELEASED / f"{release}.json").read_text())
    return page


def losses(before: dict[str, Values], now: dict[str, Values]) -> Iterator[str]:
    """Yield each resource of an older release that CloudFormation would delete or replace, and by what."""
    for name, old in before.items():
        new = now.get(name, {})
        if new.get("Type") != old["type"]:
            yield f"{name}: gone, or another type"
            continue
        if new.get("Condition") != old["condition"]:
            yield f"{name}: condition"
        properties = new.get("Properties", {})
        yield from (f"{name}: {key}" for key, value in old["fixed"].items() if properties.get(key) != value)


@pytest.mark.parametrize("release", RELEASES)
def test_an_upgrade_replaces_nothing(resources: dict[str, Values], release: str) -> None:
    """Every resource of an older release keeps logical id, type, condition and what cannot be changed in place.

    A renamed topic, subscription, table, bucket or secret is a new, empty one.
    """
    before = released(release)["resources"]

    assert before.keys() >= STATEFUL
    assert list(losses({name: old for name, old in before.items() if name not in GONE}, resources)) == []
    assert not GONE.keys() & resources.keys()


@pytest.mark.parametrize("name", sorted(STATEFUL))
def test_each_loss_would_be_noticed(resources: dict[str, Values], name: str) -> None:
    """The comparison sees a new logical id and every property that is fixed."""
    before = {name: released(RELEASES[0])["resources"][name]}
    renamed = {f"{name}2" if other == name else other: found for other, found in resources.items()}

    assert list(losses(before, renamed)) == [f"{name}: gone, or another type"]
    for fixed in before[name]["fixed"]:
        changed = resources[name] | {"Properties": resources[name].get("Properties", {}) | {fixed: "another"}}
        assert list(losses(before, {name: changed})) == [f"{name}: {fixed}"]


@pytest.mark.parametrize("release", RELEASES)
def test_parameters_conditions_and_outputs_stay(template: Template, release: str) -> None:
    """What is typed at a deployment is still taken, as the same kind of value, and what others read of a stack is still there."""
    before = released(release)

    assert {name: template["Conditions"].get(name) for name in before["conditions"]} == before["conditions"]
    assert {name: (template["Parameters"].get(name) or {}).get("Type") for name in before["parameters"]} == before[
        "parameters"
    ]
    assert {name: (template["Outputs"].get(name) or {}).get("Value") for name in before["outputs"]} == before["outputs"]


@pytest.mark.parametrize("release", RELEASES)
def test_indexes_and_paths_keep_their_names(resources: dict[str, Values], release: str) -> None:
    """The names that the template itself gives: an index of another name is built anew, and is empty meanwhile."""
    before = released(release)["named"]

    assert {name: value for name, value in named(resources).items() if name in before} == before


def named(resources: dict[str, Values]) -> dict[str, list[str]]:
    """Return the physical names that the template gives within a resource."""
    index = [one["IndexName"] for one in resources["Table"]["Properties"]["GlobalSecondaryIndexes"]]
    prefixes = [
        rule["Filter"]["S3Key"]["Rules"][0]["Value"]
        for rule in resources["Inbox"]["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    ]
    return {"indexes": index, "announced prefixes": prefixes}


def variables(template: Template, function: str) -> Values:
    """Return the environment of *function*."""
    common: Values = template["Globals"]["Function"]["Environment"]["Variables"]
    own: Values = template["Resources"][function]["Properties"]["Environment"]["Variables"]
    return common | own


def snake(name: str) -> str:
    """Return a parameter's or output's name as the code writes it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.replace("OpenAI", "Openai")).lower()


@pytest.mark.parametrize("function", ["Submit", "Poll", "Complete"])
def test_one_setting_has_one_name(template: Template, function: str) -> None:
    """A parameter or output `MaxCostUsd` is the variable `MAX_COST_USD` and the setting `max_cost_usd`.

    An amount is kept in millionths of a dollar and says so: `max_cost_microdollars`.
    """
    sources = {name: {"Ref": name} for name in template["Parameters"]}
    sources |= {name: output["Value"] for name, output in template["Outputs"].items()}
    name_of = {json.dumps(value): name for name, value in sources.items()}
    settings = {setting.name for setting in fields(Settings)} - {"limits"}
    limits = {limit_variable(limit.name): limit.name for limit in fields(Limits)}

    for variable, value in variables(template, function).items():
        decided = json.dumps(value) in name_of or {*re.findall(r"\w+", json.dumps(value))} & {*template["Parameters"]}
        if decided and variable not in BORROWED:
            assert variable == snake(name_of[json.dumps(value)]).upper()
        if variable in limits:
            assert limits[variable] == variable.lower().replace("_usd", "_microdollars")
        elif not variable.startswith("POWERTOOLS_"):
            assert variable.lower() in settings


def test_every_setting_is_set_by_the_template(template: Template) -> None:
    """No setting has a name that nothing gives a value to, and a limit without the prefix is the template's."""
    given = {variable for function in ("Submit", "Poll", "Complete") for variable in variables(template, function)}
    plain = {limit_variable(limit.name) for limit in fields(Limits)}

    assert {setting.name for setting in fields(Settings)} - {"limits"} - FROM_OUTSIDE <= {
        name.lower() for name in given
    }
    assert {variable for variable in plain if not variable.startswith(LIMIT_PREFIX)} <= given
    assert not [variable for variable in given if variable.startswith(LIMIT_PREFIX)]


def page_of(template: Template) -> Values:
    """Return what has to stay of *template*."""
    # Its import takes 5 s, and only a release needs it.
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]  # noqa: PLC0415  # has no types

    kept = {
        name: found
        for name, found in translated(template)["Resources"].items()
        if found["Type"] != "AWS::Lambda::LayerVersion"  # each content is a version of its own
    }
    fixed = {
        kind: sorted(
            path.rsplit("/", 1)[1]
            for path in PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema.get(
                "createOnlyProperties", []
            )
        )
        + ALSO_FIXED.get(kind, [])
        for kind in {found["Type"] for found in kept.values()}
    }
    return {
        "parameters": {name: declared["Type"] for name, declared in template["Parameters"].items()},
        "outputs": {name: declared["Value"] for name, declared in template["Outputs"].items() if name != "Release"},
        "conditions": template["Conditions"],  # a secret that is made under another condition is deleted under this one
        "named": named(kept),
        "resources": {
            name: {
                "type": found["Type"],
                "condition": found.get("Condition"),
                "fixed": {key: found.get("Properties", {}).get(key) for key in fixed[found["Type"]]},
            }
            for name, found in kept.items()
        },
    }


if __name__ == "__main__":
    version, written = sys.argv[1:]
    parts = {
        part: ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())
        for part, values in page_of(parse(Path(written).read_text())).items()
    }
    page = ",\n".join(f" {json.dumps(part)}: {{\n{lines}\n }}" for part, lines in parts.items())
    (RELEASED / f"{version}.json").write_text(f"{{\n{page}\n}}\n")
