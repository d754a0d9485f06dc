"""Downloading the results of a job.

Rule: nothing is written outside of the folder that was named, and nothing that is there is overwritten. Every object arrives
under a name that this and any other system takes (`file_names.py`); where that is not its own, RENAMED says so.
Objects come through object_store's S3 client: with boto3 each of many small ones cost 4 ms of CPU, with it 1 ms.
"""

import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import obstore
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.jobs.file_names import safe_names
from batchdrop_cli.jobs.status import JobStatus
from batchdrop_cli.stack import Connection, Found

DOWNLOADS_IN_FLIGHT = 16
PIECE_BYTES = 1 << 20
# Keys that object_store refuses, or takes for another
# (https://docs.rs/object_store/0.12.4/object_store/path/struct.Path.html, 2026-11-30).
ODD_KEY = re.compile(r"^/|//|/$|(^|/)\.\.?(/|$)|[\x00-\x1f\x7f]")
RENAMED = "renamed.json"  # which object has which other name

type Step = Callable[[int], object]  # receives the bytes of each file that is done


def results_folder(key: str) -> str:
    """Return what the folder of the results of the upload *key* is called on this machine: `reviews.results` of `reviews.csv`."""
    stem = key.rpartition("/")[2].removesuffix(".gz").rpartition(".")[0] or key.rpartition("/")[2]
    name = f"{stem}.results"
    return str(safe_names([name])[name])


def results_listing(connection: Connection, job: JobStatus) -> list[Found]:
    """Return every object of the job, by key."""
    return list(connection.objects(connection.results_bucket, job.folder))


def download(connection: Connection, job: JobStatus, listing: list[Found], target: Path, step: Step) -> int:
    """Write the objects of *listing* below *target*, which is made; return how many have another name there.

    Raises CommandFailed where *target* holds anything already.
    """
    names = {found.key: found.key.removeprefix(job.folder) for found in listing}
    places = safe_names(names.values(), reserved=[RENAMED])
    make_empty_folder(target)
    store = open_results(connection)

    def fetch(found: Found) -> None:
        place = target / places[names[found.key]]
        write_new(
            place, pieces_of(connection, found.key) if ODD_KEY.search(found.key) else obstore.get(store, found.key)
        )
        step(found.size_bytes)

    renamed = {name: str(place) for name, place in places.items() if str(place) != name}
    if renamed:
        (target / RENAMED).write_text(json.dumps(renamed, indent=2) + "\n", encoding="ascii")
    with ThreadPoolExecutor(DOWNLOADS_IN_FLIGHT) as pool:
        list(pool.map(fetch, listing))
    return len(renamed)


def make_empty_folder(target: Path) -> None:
    """Make *target*; one that is there and empty will do."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        is_used = any(target.iterdir())
    except OSError as error:
        raise CommandFailed(f"{target} cannot be used: {error.strerror}.") from error
    if is_used:
        raise CommandFailed(
            f"{target} is not empty, and nothing is overwritten. Name a folder that does not exist yet."
        )


def open_results(connection: Connection) -> S3Store:
    """Return the results bucket for reading many objects side by side."""
    options, endpoint_url = connection.options, connection.storage.meta.endpoint_url
    session = boto3.Session(
        options.get("aws_access_key_id"),
        options.get("aws_secret_access_key"),
        region_name=connection.storage.meta.region_name,
    )
    return S3Store(
        connection.results_bucket,
        endpoint=endpoint_url,
        credential_provider=Boto3CredentialProvider(session),
        client_options={"allow_http": endpoint_url.startswith("http:")},
    )


def pieces_of(connection: Connection, key: str) -> Iterable[bytes]:
    """Return the content of an object by boto3, which asks for whatever key it is given."""
    return connection.storage.get_object(Bucket=connection.results_bucket, Key=key)["Body"].iter_chunks(PIECE_BYTES)


def write_new(place: Path, pieces: Iterable[bytes | obstore.Bytes]) -> None:
    """Write *pieces* to *place*, which must not exist. Raises what their source raises where less came than was announced."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            for piece in pieces:
                file.write(piece)
    except FileExistsError as error:
        raise CommandFailed(
            f"{place} is there already, and nothing is overwritten. Does another program write there?"
        ) from error
