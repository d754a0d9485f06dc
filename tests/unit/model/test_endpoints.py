"""One table says what differs between endpoints."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from batchdrop.core.model.endpoints import CHAT, ENDPOINTS, FULL_URLS, AnswerSize, Shape, endpoint_of

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "layers" / "batchdrop" / "batchdrop"
# A server's own list of short forms, of free endpoints and of their sources is data about that server.
ABOUT_SERVERS = {"core/model/dialects.py", "core/model/dialect_sources.py"}

# An endpoint that no release knows, as one row; the simulator is taught an answer of its own to it.
INVENTED = """
import json
import sys
from batchdrop.core.model import endpoints

row = endpoints.Endpoint(url="/v1/rerank", is_quoted=True, answer_size=endpoints.AnswerSize.NOTHING)
endpoints.ENDPOINTS["/v1/rerank"] = row
endpoints.FULL_URLS |= {"/v1/rerank": "/v1/rerank", "/rerank": "/v1/rerank"}

from openai_batch_simulator.answers import imitation as answers
from openai_batch_simulator.answers.asked import Answered

answers._IMITATIONS["/v1/rerank"] = lambda asked: Answered(
    {"model": asked.model, "ranks": [2, 1], "usage": {"input_tokens": 7, "output_tokens": 0}}, 7, 0
)
for name, module in list(sys.modules.items()):
    if name.startswith("openai_batch_simulator") and hasattr(module, "ENDPOINTS"):
        module.ENDPOINTS = tuple(answers._IMITATIONS)

from fakes.world import World

world = World()
line = {"custom_id": "a", "method": "POST", "url": "/v1/rerank", "body": {"model": "text-embedding-3-small", "documents": ["x"]}}
job = world.drop("inbox/rerank.jsonl", json.dumps(line).encode())
ended = world.run(job)
(outcome,) = map(json.loads, world.result(job, "outcomes.jsonl").splitlines())
assert outcome["status"] == "succeeded", outcome
print(json.dumps([ended.event, outcome["output"]["ranks"], outcome["usage"]["input_tokens"], ended.money.quote.unpriced]))
"""


def test_a_new_endpoint_is_one_row() -> None:
    """With a row a line for it is quoted, sent, answered and counted; without code that knows its name."""
    ran = subprocess.run(  # noqa: S603 - our own text
        [sys.executable, "-c", INVENTED],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{ROOT / 'tests'}"},
    )

    assert ran.stdout == '["completed", [2, 1], 7, []]\n', ran.stderr


def test_no_other_module_names_an_endpoint() -> None:
    """Whoever decides by an endpoint asks the table; a name in a docstring decides nothing."""
    named = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        documented = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        if any(node.value in ENDPOINTS and id(node) not in documented for node in texts):
            named.add(path.relative_to(PACKAGE).as_posix())

    assert named == {"core/model/endpoints.py", "core/model/dialects.py"} <= {"core/model/endpoints.py", *ABOUT_SERVERS}


@pytest.mark.parametrize("url", ENDPOINTS)
def test_both_forms_of_a_url_are_known(url: str) -> None:
    """With its version and without."""
    assert FULL_URLS[url] == FULL_URLS[url.removeprefix("/v1")] == url
    assert endpoint_of(url).url == url


def test_an_endpoint_that_no_row_has_assumes_nothing() -> None:
    """Its answers are kept whole, and what they cost is unknown."""
    row = endpoint_of("/v1/unheard-of")

    assert (row.shape, row.is_quoted, row.is_receipted) == (Shape.OPAQUE, False, False)
    assert endpoint_of(CHAT).answer_size is AnswerSize.TOKENS
