"""A running local stack and its neighbours: other users of the machine get nothing; its owner's clients get all they ask."""

import hashlib
import hmac
import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import obstore
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from obstore.store import S3Store

from batchdrop_cli.local.description import NoStack, StackDescription, keys_file_beside
from batchdrop_cli.local.emulator import Address, is_healthy
from batchdrop_cli.local.signed_requests import ALGORITHM, AskedOfProxy, read_claim, sha256_of
from batchdrop_cli.local.stack import LocalStack
from batchdrop_cli.views.local import how_to_use

pytestmark = pytest.mark.emulator

OTHERS = 0o077
NO_KEY = r"InvalidAccessKeyId|SignatureDoesNotMatch"
SIZE_BYTES = 6_000_000  # two parts, the first as small as S3 takes


def asked(
    url: str, headers: dict[str, str] | None = None, *, method: str = "GET", body: bytes | None = None
) -> tuple[int, bytes]:
    """Return status and body of the reply."""
    request = urllib.request.Request(url, body, headers or {}, method=method)  # noqa: S310  # loopback
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def bucket(emulator: Address) -> str:
    """A bucket with one object."""
    storage = boto3.client("s3", **emulator.client_options())
    storage.create_bucket(Bucket="doors")
    storage.put_object(Bucket="doors", Key="a b/ü+.csv", Body=b"hello")
    return "doors"


def test_an_address_may_be_presigned(emulator: Address, bucket: str) -> None:
    """As every client of AWS does, in the way of today and in the one that boto3 takes unasked; a changed one is refused."""
    today = boto3.client("s3", **emulator.client_options() | {"config": Config(signature_version="s3v4")})
    unasked = boto3.client("s3", **emulator.client_options())
    what = {"Bucket": bucket, "Key": "a b/ü+.csv"}

    got = [client.generate_presigned_url("get_object", Params=what, ExpiresIn=60) for client in (today, unasked)]
    put = today.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "put"}, ExpiresIn=60)

    assert [asked(url) for url in got] == [(200, b"hello")] * 2
    assert [asked(url.replace("a%20b", "a%20c"))[0] for url in got] == [403, 403]
    assert asked(put, method="PUT", body=b"new")[0] == 200
    assert today.get_object(Bucket=bucket, Key="put")["Body"].read() == b"new"


def test_large_uploads_pass_in_parts_and_in_chunks(emulator: Address, bucket: str, tmp_path: Path) -> None:
    """boto3's parts, object_store's parts, and the signed chunks of other clients arrive byte for byte."""
    content = os.urandom(SIZE_BYTES)
    (tmp_path / "large").write_bytes(content)
    storage = boto3.client("s3", **emulator.client_options())
    store = S3Store(
        bucket, endpoint=emulator.endpoint_url, region=emulator.region, access_key_id=emulator.access_key_id,
        secret_access_key=emulator.secret_access_key, client_options={"allow_http": True},
    )  # fmt: skip

    storage.upload_file(
        str(tmp_path / "large"), bucket, "boto3", Config=TransferConfig(5_242_880, multipart_chunksize=5_242_880)
    )
    obstore.put(store, "object store", content, use_multipart=True, chunk_size=5_242_880)
    status = put_chunked(emulator, f"/{bucket}/chunks", [content[:100_000], content[100_000:]])
    changed = put_chunked(emulator, f"/{bucket}/changed", [b"abc"], change=(b"abc", b"abd"))

    assert (status, changed) == (200, 403)
    for key in ("boto3", "object store", "chunks"):
        assert storage.get_object(Bucket=bucket, Key=key)["Body"].read() == content
    assert bytes(obstore.get(store, "chunks").bytes()) == content
    assert [found["path"] for found in obstore.list(store, "changed").collect()] == []


def put_chunked(emulator: Address, path: str, chunks: list[bytes], change: tuple[bytes, bytes] = (b"", b"")) -> int:
    """Upload *chunks* as other clients of S3 do, each signed by itself; return the status."""

    class Streaming(S3SigV4Auth):
        def payload(self, request: AWSRequest) -> str:
            assert request
            return f"STREAMING-{ALGORITHM}-PAYLOAD"

    headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(sum(map(len, chunks)))}
    request = AWSRequest(method="PUT", url=f"{emulator.endpoint_url}{path}", data=b"", headers=headers)
    Streaming(Credentials(emulator.access_key_id, emulator.secret_access_key), "s3", emulator.region).add_auth(request)
    sent = {name: str(value) for name, value in request.headers.items()}
    claim = read_claim(AskedOfProxy.of("PUT", path, "", [*sent.items(), ("host", "")]))
    key = f"AWS4{emulator.secret_access_key}".encode()
    for part in claim.scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    previous, body = claim.signature, b""
    for chunk in [*chunks, b""]:
        lines = (f"{ALGORITHM}-PAYLOAD", claim.signed_at, claim.scope, previous, sha256_of(b""), sha256_of(chunk))
        previous = hmac.digest(key, "\n".join(lines).encode(), "sha256").hex()
        body += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + chunk + b"\r\n"
    body = body.replace(*change) if change[0] else body
    return asked(f"{emulator.endpoint_url}{path}", sent, method="PUT", body=body)[0]


def test_keys_that_anybody_may_guess_open_nothing(local_stack: LocalStack) -> None:
    """Not those that the emulator comes with, not the number of an account, not what follows from a function's names."""
    at = local_stack.description
    functions = boto3.client("lambda", **at.client_options())
    for name in (at.submit_function, at.poll_function, at.complete_function):
        configuration = functions.get_function_configuration(FunctionName=name)
        digest = hashlib.sha256(f"{configuration['FunctionArn']}:{configuration['Role']}".encode()).hexdigest()
        derived = [hashlib.sha256(f"{what}:{digest}".encode()).hexdigest() for what in ("secret", "token")]
        for key, secret, token in (
            ("test", "test", None), ("000000000000", "test", None), (at.access_key_id, "test", None),
            ("", at.secret_access_key, None), (f"ASIA{digest[:16].upper()}", *derived),
        ):  # fmt: skip
            session = boto3.Session(key or "none", secret, token, at.region)
            with pytest.raises(ClientError, match=NO_KEY):
                session.client("secretsmanager", endpoint_url=at.endpoint_url).get_secret_value(SecretId=at.secret_arn)
            with pytest.raises(ClientError, match=NO_KEY):
                session.client("s3", endpoint_url=at.endpoint_url).list_objects_v2(Bucket=at.results_bucket)


def test_the_keys_are_new_at_each_start(emulator: Address, local_stack: LocalStack) -> None:
    """What somebody saw of one stack opens no other."""
    assert emulator.access_key_id != local_stack.description.access_key_id
    assert emulator.secret_access_key != local_stack.description.secret_access_key
    assert len(emulator.secret_access_key) >= 40


def test_the_simulator_answers_its_own_stack(local_stack: LocalStack) -> None:
    """Another key reads no prompt and no answer, and what sets and reads its world needs a token."""
    base_url = local_stack.description.openai_base_url
    control = f"{base_url.removesuffix('/v1')}/_simulator"
    token = {"x-simulator-token": local_stack.description.simulator_token}

    assert asked(f"{base_url}/files", {"authorization": "Bearer sk-simulated"})[0] == 401
    for name in ("ledger", "faults", "clock"):
        assert asked(f"{control}/{name}")[0] == 403
        assert asked(f"{control}/{name}", {"x-simulator-token": ""})[0] == 403
    assert asked(f"{control}/faults", method="POST", body=b'{"fault": "refused"}')[0] == 403
    assert asked(f"{control}/faults", token | {"origin": "http://evil.example"})[0] == 403
    assert asked(f"{control}/faults", token | {"host": "evil.example"})[0] == 403
    status, body = asked(f"{control}/faults", token)
    assert (status, json.loads(body)["switches"]) == (200, [])


def test_a_functions_events_are_its_own(local_stack: LocalStack) -> None:
    """Who finds the port of a function's Runtime API takes no event from it and answers none, without the token in its path."""
    found = {address for address in map(runtime_api_of, processes()) if address}
    ours = {address for address in found if address.count("/") == 1}
    function = boto3.client("lambda", **local_stack.description.client_options())

    assert ours
    for address in ours:
        host = address.partition("/")[0]
        for url in (f"http://{host}", f"http://{host}/{'0' * 64}"):
            assert asked(f"{url}/2018-06-01/runtime/invocation/next")[0] == 403
            assert asked(f"{url}/2018-06-01/runtime/init/error", method="POST", body=b"{}")[0] == 403
    reply = function.invoke(FunctionName=local_stack.description.poll_function, Payload=b"{}")
    assert "FunctionError" not in reply


def processes() -> list[Path]:
    """Return the folders of /proc, a process each."""
    return list(Path("/proc").glob("[0-9]*"))


def runtime_api_of(process: Path) -> str:
    """Return the address by which a process receives a function's events; empty where it is no function."""
    try:
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((v.partition(b"=")[2].decode() for v in variables if v.startswith(b"AWS_LAMBDA_RUNTIME_API=")), "")


def test_no_secret_is_where_others_read(local_stack: LocalStack, stack_state: Path) -> None:
    """Not in a command, not in a file or folder that others may read, not in a log, not in what is printed."""
    at = local_stack.description
    key = boto3.client("secretsmanager", **at.client_options()).get_secret_value(SecretId=at.secret_arn)["SecretString"]
    hidden = [key, at.secret_access_key, at.simulator_token]
    commands = subprocess.run(["ps", "-axww", "-o", "args="], capture_output=True, text=True, check=True).stdout  # noqa: S607
    printed = "\n".join(how_to_use(at, stack_state / "stack.json"))
    logs = "\n".join(path.read_text() for path in Path(at.logs).iterdir())

    assert [secret for secret in hidden if secret in commands + printed + logs] == []
    assert [path.name for path in stack_state.iterdir() if path.stat().st_mode & OTHERS] == []
    assert {"stack.json", "aws.env", "logs", "emulator-files", "simulator-files"} == {
        path.name for path in stack_state.iterdir()
    }


def test_a_shell_reads_the_keys_from_their_file(local_stack: LocalStack, stack_state: Path) -> None:
    """What is printed for any S3 client works as it stands, whatever keys the shell had before."""
    file = keys_file_beside(stack_state / "stack.json")
    shown = 'printf "%s " "$AWS_ENDPOINT_URL" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_SESSION_TOKEN"'

    said = subprocess.run(  # noqa: S603  # ours
        ["/bin/sh", "-c", f". {file}; {shown}"],
        env={"AWS_SESSION_TOKEN": "old"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    at = local_stack.description
    assert said.split() == [at.endpoint_url, at.access_key_id, at.secret_access_key]
    assert any(str(file) in line for line in how_to_use(at, stack_state / "stack.json"))


def test_another_program_at_the_port_is_not_taken_for_the_stack(emulator: Address, tmp_path: Path) -> None:
    """Once a stack was killed, who takes its port is sent nothing: it cannot prove that it has the keys."""
    other = Address(emulator.endpoint_url, emulator.region, emulator.access_key_id, "of the stack that was killed")
    described = dict.fromkeys(StackDescription.__slots__, "-") | {
        "endpoint_url": other.endpoint_url, "access_key_id": other.access_key_id, "region": other.region,
        "secret_access_key": other.secret_access_key,
    }  # fmt: skip
    (tmp_path / "stack.json").write_text(json.dumps(described))

    assert (is_healthy(emulator), is_healthy(other)) == (True, False)
    with pytest.raises(NoStack):
        StackDescription.from_file(tmp_path / "stack.json")
