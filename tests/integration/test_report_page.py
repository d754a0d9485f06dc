"""The sample report as a browser shows it: wide, on a phone, in the dark and on paper. Skipped where there is no Chromium."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "docs" / "samples" / "report.html"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS_MAX = 120

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr",
)  # fmt: skip
# The report allows no script, so a page around it does the measuring.
GAUGE = """<!doctype html><body><iframe src="{page}" style="border:0;width:{width}px;height:900px"></iframe><pre></pre><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument, style = (name) => getComputedStyle(page.querySelector(name));
  document.querySelector("pre").textContent = JSON.stringify({{
    overflow: page.documentElement.scrollWidth - {width},
    cut: [...page.querySelectorAll("main *")].filter((one) => one.getBoundingClientRect().right > {width} + 1).length,
    scripts: page.scripts.length,
    paper: style("body").backgroundColor,
    columns: style(".sides").gridTemplateColumns.split(" ").length,
    small: [...page.querySelectorAll("main *")].filter((one) => parseFloat(getComputedStyle(one).fontSize) < 12).length,
  }});
}};
</script>"""


def chromium(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run Chromium with a profile of its own."""
    assert CHROMIUM is not None
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [CHROMIUM, *QUIET, profile, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=True)  # noqa: S603  a browser of this machine
    assert "Content Security Policy" not in done.stderr
    assert "CONSOLE" not in done.stderr
    return done


def measured(folder: Path, width: int, *options: str) -> dict[str, object]:
    """What the sample looks like in so many pixels."""
    gauge = folder / "gauge.html"
    gauge.write_text(GAUGE.format(page=SAMPLE.as_uri(), width=width))
    done = chromium(
        folder, "--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom", *options, gauge.as_uri()
    )
    found = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert found is not None
    read: dict[str, object] = json.loads(unescape(found[1]))
    return read


@pytest.mark.parametrize(("width", "columns"), [(1_200, 2), (390, 1), (320, 1)])
def test_the_page_fits_every_screen(tmp_path: Path, width: int, columns: int) -> None:
    """Nothing is cut off or has to be scrolled aside, and nothing is too small to be read."""
    seen = measured(tmp_path, width)

    assert (seen["overflow"], seen["cut"], seen["small"]) == (0, 0, 0)
    assert (seen["columns"], seen["scripts"]) == (columns, 0)


def test_the_page_is_dark_in_the_dark(tmp_path: Path) -> None:
    """The policy lets the style sheet in, and the sheet follows the screen's colours."""
    light, dark = measured(tmp_path, 800), measured(tmp_path, 800, "--blink-settings=preferredColorScheme=0")

    assert (light["paper"], dark["paper"]) == ("rgb(251, 250, 248)", "rgb(20, 22, 26)")


def test_the_page_can_be_seen_and_printed(tmp_path: Path) -> None:
    """A picture of it is none of an empty page, and paper takes it."""
    picture, paper = tmp_path / "wide.png", tmp_path / "paper.pdf"

    chromium(tmp_path, "--window-size=1200,2400", f"--screenshot={picture}", SAMPLE.as_uri())
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={paper}", SAMPLE.as_uri())

    assert picture.stat().st_size > 100_000
    assert paper.read_bytes().startswith(b"%PDF")
    assert paper.stat().st_size > 50_000
