"""The provider's API key: from a prompt or standard input into the stack's secret.

Rule: a key is never an argument, a parameter or a variable, where other processes and histories keep it, and it is never
shown. What cannot be a key changes nothing.
"""

import boto3

from batchdrop.core.model.api_key import read_key
from batchdrop.core.model.errors import KeyMissing
from batchdrop_cli.failures import MisusedCommand
from batchdrop_cli.stack import Site


def checked_key(given: str) -> str:
    """Return *given* without the space around it. Raises MisusedCommand where it is empty or can be no key."""
    if not given.strip():
        raise MisusedCommand("The key is empty. Nothing was changed.")
    try:
        return read_key(given)
    except KeyMissing as error:
        raise MisusedCommand(f"{error} Nothing was changed.") from None


def set_key(site: Site, key: str) -> None:
    """Put *key* where the functions read it. May be repeated."""
    secrets = boto3.client("secretsmanager", **site.options)
    secrets.put_secret_value(SecretId=site.named("SecretArn"), SecretString=key)
