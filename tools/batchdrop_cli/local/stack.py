"""The whole stack on one machine, as a context manager: entering makes it ready, leaving ends all that it started.

Rule: the template is deployed as it is (`template.py` says what differs), IAM is enforced, and the functions run in
the real Lambda runtime client, each under its own role.
"""

import json
import platform
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from types import FrameType, TracebackType
from typing import Self

import boto3

from batchdrop_cli.local.deployment import Sources, deploy
from batchdrop_cli.local.description import StackDescription, is_running, remove
from batchdrop_cli.local.emulator import Address, running_emulator
from batchdrop_cli.local.environments import Report, prepare
from batchdrop_cli.local.private import private_folder
from batchdrop_cli.local.provider import LocalProvider, running_simulator
from batchdrop_cli.local.ticker import Ticker, ticking

REPOSITORY = Path(__file__).parents[3]

TICK_SECONDS = 2.0
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
NOTIFICATIONS_QUEUE = "batchdrop-notifications"
NOTIFICATIONS_RETENTION_SECONDS = "1209600"  # a fortnight, the longest that SQS takes


class StackRuns(Exception):
    """Another local stack uses the same folder. The person should stop that one, or use it."""


def say_nothing(_line: str) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """How a local stack is made.

    *home* holds the installed environments and may be shared by stacks; *state* holds `stack.json` and `logs/` of one
    stack. *provider* is who answers; None means the simulator, with *simulator_options* of its command, whatever the
    host's environment says. *parameters* are the template's.
    """

    repository: Path = REPOSITORY
    home: Path = REPOSITORY / ".local"
    state: Path = REPOSITORY / ".local"
    provider: LocalProvider | None = None
    simulator_options: tuple[str, ...] = ()
    tick_seconds: float | None = TICK_SECONDS  # None: only the schedule ticks, each minute
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def description_file(self) -> Path:
        """Where the running stack is described."""
        return self.state / "stack.json"

    @property
    def logs(self) -> Path:
        """The folder of the emulator's, the simulator's and each function's output."""
        return self.state / "logs"


class LocalStack:
    """A running stack. `description` says where everything is; `seconds` how long each phase of the start took.

    Entering raises StackRuns, InstallationFailed, ChildFailed, DeploymentFailed, and leaves nothing behind then either.
    """

    description: StackDescription
    ticker: Ticker | None

    def __init__(self, settings: LocalSettings, report: Report = say_nothing) -> None:
        self.settings = settings
        self.seconds: dict[str, float] = {}
        self._report = report
        self._exits = ExitStack()
        self.ticker = None

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._start(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _start(self, exits: ExitStack) -> None:
        settings = self.settings
        if is_running(settings.description_file):
            raise StackRuns(f"A local stack runs already: {settings.description_file}")
        with self._timed("environments"):
            environments = prepare(settings.home, settings.repository / "requirements", self._report)
        private_folder(settings.logs)
        self._report("Starting the embedded AWS …")
        with self._timed("emulator"):
            emulator = running_emulator(
                environments.emulator_python,
                files=settings.state / "emulator-files",
                log=settings.logs / "emulator.log",
            )
            address = exits.enter_context(emulator)
        with self._timed("provider"):
            provider = self._provider(exits)
        self._report("Deploying template.yaml …")
        with self._timed("deployment"):
            sources = Sources(settings.repository, environments, settings.logs)
            outputs = deploy(address, sources, parameters(provider) | settings.parameters)
        with self._timed("key and notifications"):
            put_key(address, outputs["SecretArn"], provider.api_key)
            notifications = subscribe_queue(address, outputs["TopicArn"])
        self.description = describe(address, provider, outputs, notifications, settings.logs)
        if settings.tick_seconds is not None:
            self.ticker = exits.enter_context(ticking(address, self.description.poll_function, settings.tick_seconds))
        exits.callback(remove, settings.description_file)
        self.description.write(settings.description_file)

    def _provider(self, exits: ExitStack) -> LocalProvider:
        if self.settings.provider is not None:
            return self.settings.provider
        self._report("Starting the provider's simulator …")
        simulator = running_simulator(
            options=self.settings.simulator_options,
            files=self.settings.state / "simulator-files",
            log=self.settings.logs / "simulator.log",
        )
        return exits.enter_context(simulator)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        start = perf_counter()
        yield
        self.seconds[phase] = perf_counter() - start


def parameters(provider: LocalProvider) -> dict[str, str]:
    """Return the template's parameters for this machine."""
    architecture = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
    return {
        "Architecture": architecture, "OpenAIBaseUrl": provider.base_url, "ProviderDialect": provider.dialect,
    }  # fmt: skip


def put_key(address: Address, secret_arn: str, api_key: str) -> None:
    """Put the provider's key where the functions read it."""
    boto3.client("secretsmanager", **address.client_options()).put_secret_value(
        SecretId=secret_arn, SecretString=api_key
    )


def subscribe_queue(address: Address, topic_arn: str) -> str:
    """Make a queue that receives every notification as any SQS subscriber would; return its address."""
    queues = boto3.client("sqs", **address.client_options())
    url = queues.create_queue(
        QueueName=NOTIFICATIONS_QUEUE, Attributes={"MessageRetentionPeriod": NOTIFICATIONS_RETENTION_SECONDS}
    )["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
    }
    queues.set_queue_attributes(
        QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}
    )
    boto3.client("sns", **address.client_options()).subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=arn)
    return url


def describe(
    address: Address, provider: LocalProvider, outputs: dict[str, str], notifications_queue_url: str, logs: Path
) -> StackDescription:
    """Return the description of the stack whose outputs are given."""
    return StackDescription(
        endpoint_url=address.endpoint_url,
        region=address.region,
        access_key_id=address.access_key_id,
        secret_access_key=address.secret_access_key,
        inbox_bucket=outputs["InboxBucket"],
        results_bucket=outputs["ResultsBucket"],
        table=outputs["Table"],
        topic_arn=outputs["TopicArn"],
        notifications_queue_url=notifications_queue_url,
        openai_base_url=provider.base_url,
        simulated=provider.simulated,
        simulator_token=provider.control_token,
        secret_arn=outputs["SecretArn"],
        submissions_queue_url=outputs["SubmissionsQueueUrl"],
        completions_queue_url=outputs["CompletionsQueueUrl"],
        submissions_dead_letter_queue_url=outputs["SubmissionsDeadLetterQueueUrl"],
        completions_dead_letter_queue_url=outputs["CompletionsDeadLetterQueueUrl"],
        submit_function=outputs["SubmitFunction"],
        poll_function=outputs["PollFunction"],
        complete_function=outputs["CompleteFunction"],
        logs=str(logs),
    )


class Stopped(BaseException):
    """This process was asked to end. Not an Exception: nothing but the stack's own exit may stop it on its way."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into leaving the context: everything inside is ended, and the context returns normally."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        # Leaving takes a second or two; a second Ctrl-C must not cut it short.
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    previous = {number: signal.signal(number, stop) for number in ENDING_SIGNALS}
    try:
        yield
    except Stopped:
        pass
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_in_foreground(settings: LocalSettings, report: Report, ready: Callable[[LocalStack], None]) -> None:
    """Run a stack until SIGTERM or Ctrl-C; *ready* is called once it can be used. Returns when everything has ended."""
    with ended_by_signals(), LocalStack(settings, report) as stack:
        ready(stack)
        while True:
            signal.pause()
