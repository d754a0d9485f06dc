"""The example subscriptions as they stand in the repository, and the licence."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from batchdrop_cli.local.template import parse

ROOT = Path(__file__).parents[2]
SUBSCRIPTIONS = sorted((ROOT / "examples" / "subscriptions").glob("*.yaml"))
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "notification.schema.json").read_text())
SAMPLES = sorted((ROOT / "docs" / "samples" / "notifications").glob("*.json"))


def test_every_subscription_is_held_here() -> None:
    """There are three, so that the tests below are about something."""
    assert [path.stem for path in SUBSCRIPTIONS] == ["email", "function", "queue"]


@pytest.mark.parametrize("path", SUBSCRIPTIONS, ids=lambda path: path.stem)
def test_subscription_is_for_every_event_by_default(path: Path) -> None:
    """A person who sets nothing hears of every event that the schema has: of a job that is held or waits as well."""
    events = parse(path.read_text())["Parameters"]["Events"]

    assert sorted(events["Default"].split(",")) == sorted(SCHEMA["properties"]["event"]["enum"])
    assert events["Type"] == "CommaDelimitedList"


def sentence_of(notification: dict[str, Any]) -> str:
    """Return what the example function tells a chat room of *notification*."""
    template = parse((ROOT / "examples" / "subscriptions" / "function.yaml").read_text())
    module: dict[str, Any] = {}
    exec(template["Resources"]["Function"]["Properties"]["Code"]["ZipFile"], module)  # noqa: S102  # our own example
    return str(module["sentence"](notification))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_chat_room_is_told_of_each_sample(path: Path) -> None:
    """There is a sentence for each notification, with its event in words and its reason where it has one."""
    notification = json.loads(path.read_text())

    sentence = sentence_of(notification)

    assert notification["event"].replace("_", " ") in sentence
    if notification["reason"]:
        assert notification["reason"]["message"] in sentence


def test_chat_room_is_told_of_what_concerns_no_single_job() -> None:
    """A notification without an upload says how many jobs wait, and why."""
    notification = json.loads((ROOT / "docs" / "samples" / "notifications" / "waiting.json").read_text())
    notification |= {"job": None, "upload": None, "jobs": 12, "id": "install/key_refused/1"}

    assert sentence_of(notification) == f"12 jobs: waiting. {notification['reason']['message']}"


def test_licence_is_the_one_that_the_package_names() -> None:
    """The file at the top is MIT, and the package says so."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")
    assert project["license-files"] == ["LICENSE"]
    assert "License :: OSI Approved :: MIT License" in project["classifiers"]
