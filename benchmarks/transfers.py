"""What moving a provider's files takes of memory: `python benchmarks/transfers.py`.

Rule: each way runs in a process of its own, against a sink on loopback; what counts is how much more memory a large file takes
than a small one before it. The *peer* does as one would at first: the upload as bytes, the download as the SDK's `content`.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from measuring import own_peak_mb, printed
from sinks import sink
from table import Row, at_most, print_rows

if TYPE_CHECKING:
    from batchdrop.edge.openai.provider import OpenAIProvider

MORE_MB_MAX: Final = 20
SMALL_BYTES: Final = 100_000
# As large as an input file may be, and what 50,000 answers of 5 KB come to.
LARGE_BYTES: Final = {"upload": 200_000_000, "download": 250_000_000}


def upload(base_url: str, file: Path) -> None:
    """Store the file as production does."""
    with file.open("rb") as lines:
        provider(base_url).upload_input("input.jsonl", lines, 3_600)


def download(base_url: str, _file: Path) -> None:
    """Fetch a file as production does."""
    with tempfile.TemporaryFile() as target:
        provider(base_url).download("file-1", target)


def peer_upload(base_url: str, file: Path) -> None:
    """Store the file as bytes."""
    import openai  # noqa: PLC0415 - the process of another way has no use for it

    client = openai.OpenAI(api_key="k", base_url=base_url)
    client.files.create(file=("input.jsonl", file.read_bytes()), purpose="batch")


def peer_download(base_url: str, _file: Path) -> None:
    """Fetch the content whole."""
    import openai  # noqa: PLC0415 - the same

    client = openai.OpenAI(api_key="k", base_url=base_url)
    assert client.files.content("file-1").content  # noqa: S101 - or the figure means nothing


def provider(base_url: str) -> "OpenAIProvider":
    """Return the production adapter."""
    from batchdrop.edge.openai.provider import OpenAIProvider  # noqa: PLC0415 - the same

    return OpenAIProvider("k", base_url, "f", create_timeout_seconds=60, on_refused=lambda: None)


WAYS: Final[Mapping[str, Callable[[str, Path], None]]] = {
    "upload": upload, "download": download, "peer_upload": peer_upload, "peer_download": peer_download,
}  # fmt: skip


def measure() -> Sequence[Row]:
    """Return the figures of both directions."""
    found = {way: printed(__file__, "--way", way) for way in WAYS}
    return [
        at_most(
            f"transfers: more memory, {way} of {size_bytes / 1e6:.0f} MB",
            found[way], MORE_MB_MAX, "MB", f"{found[f'peer_{way}']:.0f} MB as one would at first",
        )
        for way, size_bytes in LARGE_BYTES.items()
    ]  # fmt: skip


def print_more(way: str) -> None:
    """Move a small file and a large one, and print how much memory the second took more."""
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for size_bytes in (SMALL_BYTES, LARGE_BYTES[way.removeprefix("peer_")]):
            file = Path(folder) / "input.jsonl"
            with file.open("wb") as target:
                target.truncate(size_bytes)
            with sink("providing", str(size_bytes)) as address:
                WAYS[way](f"{address}/v1", file)
            peaks.append(own_peak_mb())
    print(peaks[1] - peaks[0])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--way"]:
        print_more(sys.argv[2])
    else:
        sys.exit(print_rows(measure()))
