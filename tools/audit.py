"""Runs checkov on the template as CloudFormation receives it. `make audit` starts it with checkov's own command.

Rule: nothing fails. What is skipped is listed here with its reason, and a skip that nothing needs any more fails too.
The translated template, because checkov does not see wildcards in policies that SAM has not expanded yet.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]  # has no types
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]  # has no types

from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.template import Template, code_locations, localized, parse

SKIPPED = {
    "CKV_AWS_18": "An access log needs a bucket that grows without end; CloudTrail's data events log for anyone who wants it.",
    "CKV_AWS_19": "Both branches encrypt: S3's own key, or one that was given. tests/unit/deployment/test_template.py checks.",
    "CKV_AWS_115": "Reserved concurrency would take from the ten of a new account; the mappings bound what runs instead.",
    "CKV_AWS_116": "Submit and complete read queues that have dead-letter queues; a tick that failed is made good by the next.",
    "CKV_AWS_117": "Nothing in a VPC is reached, and from within one the provider only through a gateway that costs money.",
    "CKV_AWS_173": "No variable holds a secret: the key is read from Secrets Manager by its address.",
}


def translated(template: Template) -> Template:
    """Return what CloudFormation receives of *template*, after the SAM transform."""
    packaged = localized(template, dict.fromkeys(code_locations(template), "s3://bucket/key"))
    packaged["Globals"]["Function"]["Runtime"] = template["Globals"]["Function"]["Runtime"]
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="us-east-1"))
    result: Template = translator.translate(packaged, parameter_values={})
    return result


def audit(checkov: str, template: Template) -> list[tuple[str, str, str]]:
    """Return the check, its name and the resource of each failure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.json"
        path.write_text(json.dumps(template))
        command = [checkov, "--skip-download", "--framework", "cloudformation", "--output", "json", "--file", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # ours
    try:
        failed = json.loads(done.stdout)["results"]["failed_checks"]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"checkov gave no report:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}") from error
    return [(one["check_id"], one["check_name"], one["resource"]) for one in failed]


def main() -> None:
    """Audit with the checkov that is named; end with what failed, and with skips that are of no use."""
    failures = audit(sys.argv[1], translated(parse((REPOSITORY / "template.yaml").read_text())))
    found = {check for check, _, _ in failures}
    lines = [f"{check}: {name}: {resource}" for check, name, resource in failures if check not in SKIPPED]
    lines += [f"{check} is skipped, and nothing fails it" for check in sorted(SKIPPED.keys() - found)]
    if lines:
        raise SystemExit("\n".join(lines))
    sys.stdout.write(
        f"checkov: 0 failed, {len(SKIPPED)} checks skipped for {len(failures)} resources, each with its reason\n"
    )


if __name__ == "__main__":
    main()
