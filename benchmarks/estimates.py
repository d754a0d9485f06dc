"""What our estimates of tokens are worth: `python benchmarks/estimates.py [FILE.csv]` prints by how much they are wrong.

Rule: eleven drops of one task through the production flows, each a batch of its own; *FILE.csv* has a column `review`, and its
rows are taken in their order. Usage is simulated, by a rule that counts words and knows nothing of our bytes (`fakes/words.py`).
"""

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.words import WordCounting, reviews
from fakes.world import World
from table import Row, at_most, print_rows

BATCHES: Final = 11
ROWS: Final = 337  # of a batch, where no file is given
ERROR_MAX: Final = 0.05
TASK: Final = Path(__file__).parents[1] / "examples" / "tasks" / "sentiment.yaml"


def texts_of(path: Path) -> list[str]:
    """Return the column `review` of a CSV file."""
    with path.open(newline="", encoding="utf-8-sig") as source:
        return [row["review"] for row in csv.DictReader(source)]


def errors_of(texts: Sequence[str]) -> list[float]:
    """Return by what share each batch was estimated too high, batch after batch."""
    world, errors = World(), []
    world.simulator.account.lifecycle.responder = WordCounting()
    world.storage.put_task("sentiment", TASK.read_bytes())
    size = len(texts) // BATCHES
    for number in range(BATCHES):
        table = io.StringIO()
        rows = csv.writer(table)
        rows.writerow(("review_id", "review"))
        rows.writerows(enumerate(texts[number * size : (number + 1) * size]))
        job = world.drop(f"inbox/sentiment/{number}.csv", table.getvalue().encode())
        world.run(job)
        estimate = json.loads(world.result(job, "summary.json"))["estimate"]
        errors.append(estimate["expected_input_tokens"] / estimate["counted_input_tokens"] - 1)
    return errors


def measure(texts: Sequence[str] = ()) -> list[Row]:
    """Return the figures; without *texts*, of sentences of the examples."""
    errors = errors_of(texts or list(reviews(BATCHES * ROWS, seed=1)))
    detail = "batch after batch " + " ".join(f"{error:+.1%}" for error in errors)
    return [
        Row("tokens estimated, first batch of a task: wrong by", "", abs(errors[0]), "%"),
        at_most(f"tokens estimated, after {BATCHES - 1} batches: wrong by", abs(errors[-1]), ERROR_MAX, "%", detail),
    ]


if __name__ == "__main__":
    sys.exit(print_rows(measure(texts_of(Path(sys.argv[1])) if len(sys.argv) > 1 else ())))
