"""What `batchdrop local` prints once the stack can be used: how to drop a file with the command, and with any S3 client."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from batchdrop_cli.local.description import StackDescription, keys_file_beside


def how_to_use(stack: StackDescription, stack_file: Path) -> Iterator[str]:
    """Yield the lines. None holds a key: what a person prints may be kept in a file that others read."""
    keys_file = keys_file_beside(stack_file)
    yield "The stack is ready. Ctrl-C ends it and everything in it."
    yield ""
    if stack.simulated:
        yield "Answers are simulated: no model is asked, nothing is spent."
    else:
        yield f"Answers come from {stack.openai_base_url}, and are paid for."
    yield ""
    yield "With the command:"
    yield "  batchdrop tasks put examples/tasks/sentiment.yaml"
    yield "  batchdrop drop examples/drops/sentiment/reviews.csv --task sentiment --wait"
    yield ""
    yield "With any S3 client:"
    yield f"  endpoint  {stack.endpoint_url} (path-style)   region  {stack.region}"
    yield f"  access key and secret key, new at each start: in {keys_file}, which only you can read"
    yield f"  inbox bucket    {stack.inbox_bucket}"
    yield f"  results bucket  {stack.results_bucket}"
    yield f"  (. {shlex.quote(str(keys_file))}; aws s3 cp examples/drops/articles.json s3://{stack.inbox_bucket}/inbox/)"
    yield ""
    yield f"Described in {stack_file}; logs in {stack.logs}"
