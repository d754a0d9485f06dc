"""Builds the whole object graph, on one screen.

Rule: settings are read and clients are built once per process, most of them when they are first needed; an invocation
brings its context and leaves nothing behind but connections.
"""

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import boto3
from aws_lambda_powertools import Logger, Metrics
from botocore.config import Config

from batchdrop.core.model.dialects import Dialects
from batchdrop.core.model.limits import Limits
from batchdrop.core.operations.metrics import NAMESPACE
from batchdrop.edge.aws.dynamodb import DynamoLedger
from batchdrop.edge.aws.redelivery import Redelivery
from batchdrop.edge.aws.s3 import S3Storage, open_bucket
from batchdrop.edge.aws.s3_endpoint import s3_endpoint
from batchdrop.edge.aws.sns import SnsNotifications
from batchdrop.edge.aws.sqs import SqsWakeups
from batchdrop.edge.aws.telemetry import PowertoolsLog
from batchdrop.edge.clock import Context, SystemClock
from batchdrop.edge.openai.opening import SecretProviders
from batchdrop.edge.prices import BundledPrices
from batchdrop.edge.settings import Settings, read_settings
from batchdrop.flow.ports import Ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

# Below every function's time-out, so that a call that hangs leaves time for another try: three in all, boto3's standard.
_AWS = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})


def ports(context: Context) -> Ports:
    """Return everything that this invocation may touch. Raises BadSetting where a variable is missing or wrong."""
    clock, process = _process()
    clock.context = context
    return replace(process, writer=context.aws_request_id)


def redelivery(outside: Ports) -> Redelivery:
    """Return what becomes of messages that this invocation fails with."""
    settings = _settings()
    urls = (settings.submissions_queue_url, settings.completions_queue_url)
    return Redelivery(_sqs, urls, settings.limits.redelivery_seconds, outside.log)


def limits() -> Limits:
    """Return the numbers that this deployment set."""
    return _settings().limits


@cache
def _settings() -> Settings:
    return read_settings()


@cache
def _process() -> tuple[SystemClock, Ports]:
    """Return what outlives an invocation: the ports of no invocation yet, and their clock."""
    settings, clock = _settings(), SystemClock()
    endpoint = settings.aws_endpoint_url or s3_endpoint(settings.aws_region, is_fips=settings.is_fips)
    log = PowertoolsLog(Logger(), Metrics(namespace=NAMESPACE, service=settings.stack_name))
    return clock, Ports(
        clock=clock,
        ledger=DynamoLedger(boto3.client("dynamodb", config=_AWS), settings.required("table"), clock, log),
        wakeups=SqsWakeups(
            _sqs, submissions=settings.submissions_queue_url, completions=settings.completions_queue_url
        ),
        storage=S3Storage(
            open_bucket(settings.inbox_bucket, endpoint),
            open_bucket(settings.required("results_bucket"), endpoint),
            settings.inbox_bucket,
            _s3,
        ),
        providers=SecretProviders(
            _secrets,
            settings.required("secret_arn"),
            settings.openai_base_url,
            clock,
            dialect=settings.provider_dialect,
            create_timeout_seconds=settings.limits.create_timeout_seconds,
        ),
        notifications=SnsNotifications(_sns, settings.topic_arn),
        prices=BundledPrices(Dialects(settings.openai_base_url, settings.provider_dialect)),
        log=log,
        inbox_bucket=settings.inbox_bucket,
        results_bucket=settings.results_bucket,
        writer="",
    )


@cache
def _sqs() -> "SQSClient":
    return boto3.client("sqs", config=_AWS)


@cache
def _s3() -> "S3Client":
    return boto3.client("s3", config=_AWS)


@cache
def _sns() -> "SNSClient":
    return boto3.client("sns", config=_AWS)


@cache
def _secrets() -> "SecretsManagerClient":
    return boto3.client("secretsmanager", config=_AWS)
