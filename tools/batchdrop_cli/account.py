"""Whose AWS it is: the account, the region and the credentials that a person's environment leads to.

Rule: looking creates nothing, and what is missing is said in a sentence with what to do about it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore import exceptions as aws

from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.local.emulator import ClientOptions

# botocore reads the second alone, every other SDK and the AWS CLI the first as well
# (https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html, read 2026-11-30).
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")

NO_REGION = "No AWS region set. Set AWS_DEFAULT_REGION or use a profile with a region."
NO_CREDENTIALS = (
    "No AWS credentials found. Run `aws configure` or `aws sso login`, or set AWS_PROFILE to a profile that has some."
)
RENEW = "Renew them (`aws sso login`), or use other ones (AWS_PROFILE)."

# What AWS answers to credentials that it does not take, whatever was asked
# (https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html, read 2026-11-30). S3 and EC2 have names of their own.
REFUSED_CREDENTIALS = frozenset({
    "AuthFailure", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken",
    "RequestExpired", "SignatureDoesNotMatch", "TokenRefreshRequired", "UnrecognizedClientException",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class AwsAccount:
    """An account of AWS, who is asking, and the region that was chosen; *region_source* says by what."""

    id: str
    caller: str
    region: str
    region_source: str


def chosen_region() -> tuple[str, str]:
    """Return the region of the person's environment and what names it. Raises CommandFailed where nothing does."""
    for variable in REGION_VARIABLES:
        if region := os.environ.get(variable):
            return region, variable
    session = boto3.Session()
    if not session.region_name:
        raise CommandFailed(NO_REGION)
    return session.region_name, f"profile {session.profile_name}"


def person_options() -> ClientOptions:
    """Return what a boto3 client needs besides the environment: the region. Raises CommandFailed where there is none."""
    region, _ = chosen_region()
    return {"region_name": region}


def identify() -> AwsAccount:
    """Return who would act where. Raises CommandFailed for want of a region or of credentials that AWS takes."""
    region, source = chosen_region()
    try:
        identities: Any = boto3.client("sts", region_name=region)  # the stubs of sts are not installed
        found = identities.get_caller_identity()
    except (aws.BotoCoreError, aws.ClientError) as error:
        raise CommandFailed(explained(error) or f"AWS did not say whose credentials these are: {error}") from error
    return AwsAccount(found["Account"], found["Arn"], region, source)


def explained(error: Exception) -> str | None:
    """Return what *error* means where the person's environment is the cause, and what to do; None for any other."""
    if isinstance(error, aws.ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        return f"AWS refuses these credentials ({code}). {RENEW}" if code in REFUSED_CREDENTIALS else None
    return next((words(error) for kind, words in MEANINGS.items() if isinstance(error, kind)), None)


MEANINGS: dict[type[Exception], Callable[[Exception], str]] = {
    aws.NoRegionError: lambda _error: NO_REGION,
    aws.NoCredentialsError: lambda _error: NO_CREDENTIALS,
    aws.PartialCredentialsError: lambda error: f"The AWS credentials are incomplete: {error}.",
    aws.ProfileNotFound: lambda error: f"{error}. See: aws configure list-profiles",
    aws.SSOError: lambda error: f"The AWS login has ended: {error}. Run `aws sso login`.",
    aws.TokenRetrievalError: lambda error: f"The AWS login has ended: {error}. Run `aws sso login`.",
    aws.CredentialRetrievalError: lambda error: f"The AWS credentials could not be read: {error}.",
    aws.InvalidRegionError: lambda error: f"{error}. See: aws account list-regions",
    aws.EndpointConnectionError: lambda error: f"{error}. Is there such a region, and is there a network?",
}
