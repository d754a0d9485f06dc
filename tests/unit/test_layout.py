"""The arrows between the packages point inward, and this file notices when one does not."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "batchdrop"
PACKAGE = LAYER / "batchdrop"

SDKS = {
    "aws_lambda_powertools",
    "awslambdaric",
    "boto3",
    "botocore",
    "genai_prices",
    "httpx2",
    "obstore",
    "openai",
    "urllib3",
}
# What would let a decision depend on when, where or by luck it is taken.
WORLD = {"asyncio", "logging", "os", "random", "secrets", "socket", "subprocess", "threading", "time", "uuid"}
TOOLS = {"batchdrop_cli", "openai_batch_simulator"}

FORBIDDEN: dict[str, set[str]] = {
    "core": SDKS | WORLD | TOOLS | {"batchdrop.flow", "batchdrop.edge", "batchdrop.formats", "tempfile"},
    "formats": SDKS | WORLD | TOOLS | {"batchdrop.flow", "batchdrop.edge", "tempfile"},
    "flow": SDKS | TOOLS | {"batchdrop.edge", "logging", "random", "secrets", "time", "uuid"},
    "edge": TOOLS | {"batchdrop.formats"},
}
# The chapters of each layer, each of which may build on those before it: first what all share (`_SHARED`), last what
# lies at the root of the layer.
CHAPTERS: dict[str, tuple[str, ...]] = {
    "core": (
        "model",
        "planning",
        "admission",
        "submission",
        "collection",
        "delivery",
        "notification",
        "operations",
        "",
    ),
    "flow": (
        "_shared",
        "planning",
        "admission",
        "notification",
        "submission",
        "collection",
        "delivery",
        "operations",
        "",
    ),
    "edge": ("_shared", "aws", "openai", ""),
}
_SHARED = {
    "batchdrop.flow.ports",
    "batchdrop.flow.unit_of_work",
    "batchdrop.flow.planned_job",
    "batchdrop.edge.deadline",
}
# One module alone may know each of these.
ALONE = {
    "openai": {"edge/openai/provider.py"},
    "genai_prices": {"edge/prices.py"},
    "os": {"edge/settings.py", "flow/collection/answer_index.py"},
}


def imports(source: str) -> Iterator[str]:
    """Every module that *source* names in an import, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


def offences(package: str, source: str) -> list[str]:
    """The imports of *source* that a module of *package* may not have."""
    return [name for name in imports(source) for banned in FORBIDDEN[package] if f"{name}.".startswith(f"{banned}.")]


def modules() -> list[Path]:
    """Every module of the layer."""
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_inward(path: Path) -> None:
    """No module imports what its package may not know."""
    package = path.relative_to(PACKAGE).parts[0]

    found = offences(package, path.read_text()) if package in FORBIDDEN else []

    assert not found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_the_rule_bites(package: str) -> None:
    """A forbidden import is noticed in each of its forms, and a look-alike is left alone."""
    banned = min(FORBIDDEN[package])

    assert offences(package, f"import {banned}") == [banned]
    assert offences(package, f"def late():\n    from {banned}.deep import x") == [f"{banned}.deep"]
    assert offences(package, f"import {banned}_like") == []


def chapter_of(module: str) -> tuple[str, str]:
    """The layer and the chapter of *module*, as the layer imports it; empty for what lies at the root of a layer."""
    parts = module.split(".")[1:]
    layer, chapter = (*parts, "", "")[:2]
    if module in _SHARED:
        return layer, "_shared"
    return layer, chapter if (PACKAGE / layer / chapter).is_dir() else ""


def backward(importer: str, source: str) -> list[str]:
    """What *source*, the text of *importer*, imports of a later chapter of its own layer."""
    layer, chapter = chapter_of(importer)
    order = CHAPTERS[layer]
    others = [(name, chapter_of(name)[1]) for name in imports(source) if name.startswith(f"batchdrop.{layer}.")]
    return [name for name, other in others if order.index(other) > order.index(chapter)]


@pytest.mark.parametrize("layer", CHAPTERS)
def test_chapters_build_on_earlier_ones(layer: str) -> None:
    """Each folder is a chapter with a place in the order, and none needs what comes after it."""
    folders = {path.name for path in (PACKAGE / layer).iterdir() if path.is_dir() and path.name != "__pycache__"}
    found = {
        name_of(path): late
        for path in (PACKAGE / layer).rglob("*.py")
        if (late := backward(name_of(path), path.read_text()))
    }

    assert folders == set(CHAPTERS[layer]) - {"", "_shared"}
    assert not found


def test_a_later_chapter_is_noticed() -> None:
    """Wherever it is imported; an earlier one and the same are left alone."""
    source = "def late():\n    from batchdrop.core.delivery.summary import x"

    assert backward("batchdrop.core.planning.plan.plan", source) == ["batchdrop.core.delivery.summary"]
    assert backward("batchdrop.core.notification.notifications", source) == []
    assert backward("batchdrop.core.delivery.report", source) == []
    assert backward("batchdrop.flow.ports", "import batchdrop.flow.planning.plan") == ["batchdrop.flow.planning.plan"]
    assert backward("batchdrop.flow.poll", "import batchdrop.flow.planning.plan") == []


def name_of(path: Path) -> str:
    """The name by which a module is imported."""
    return path.relative_to(LAYER).with_suffix("").as_posix().removesuffix("/__init__").replace("/", ".")


def files_imported(source: str) -> set[str]:
    """What *source* imports, also as `from package import module`."""
    froms = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return {*imports(source), *(f"{node.module}.{alias.name}" for node in froms for alias in node.names)}


def circle(arrows: Mapping[str, Iterable[str]]) -> list[str]:
    """One circle of *arrows*, its first name again at its end; empty where there is none."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_two_files_import_each_other() -> None:
    """Not by way of others either, nor late or for types alone: what both need has a file of its own."""
    files = {name_of(path): path for path in modules()}

    found = circle({name: files_imported(path.read_text()) & set(files) for name, path in files.items()})

    assert len(files) > 100
    assert not found


def test_a_circle_is_noticed() -> None:
    """Whichever way it goes, and however a module is imported."""
    assert files_imported("def late():\n    from a import b") == {"a", "a.b"}
    assert circle({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]})
    assert not circle({"a": ["b", "c"], "b": ["c"]})


@pytest.mark.parametrize("name", ALONE)
def test_what_one_module_alone_may_know(name: str) -> None:
    """The OpenAI SDK and the environment each have one door."""
    knows = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        if any(f"{module}.".startswith(f"{name}.") for module in imports(path.read_text()))
    }

    assert knows <= ALONE[name]


def test_nothing_in_the_layer_reaches_for_the_tools() -> None:
    """What runs in Lambda can be packed without what runs on a person's machine."""
    for path in modules():
        assert not {name.partition(".")[0] for name in imports(path.read_text())} & TOOLS, path


def test_a_wheel_has_every_file_of_the_package() -> None:
    """The report's template and style sheet travel with the code."""
    files = {included.distribution_path for included in WheelBuilder(str(ROOT)).recurse_included_files()}
    ours = {str(path.relative_to(LAYER)) for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    assert ours <= files
    assert {path.rpartition(".")[2] for path in ours} == {"css", "j2", "py", "typed"}


def test_the_simulator_knows_nothing_of_us() -> None:
    """Others can test their clients with it."""
    for path in (ROOT / "tools" / "openai_batch_simulator").rglob("*.py"):
        assert not {name.partition(".")[0] for name in imports(path.read_text())} & {"batchdrop", "batchdrop_cli"}, path


def test_a_create_is_made_in_one_place() -> None:
    """The call that costs money is written once, in the adapter, and asked for once, in the flow."""
    create = re.compile(r"batches(?:\.\w+)*\.create\(")
    calls = [str(path.relative_to(ROOT)) for path in modules() for _ in create.findall(path.read_text())]
    asks = [str(path.relative_to(ROOT)) for path in modules() if ".create_batch(" in path.read_text()]

    assert calls == ["layers/batchdrop/batchdrop/edge/openai/provider.py"]
    assert asks == ["layers/batchdrop/batchdrop/flow/submission/create.py"]


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX"])
def test_unfinished_thoughts_are_not_left_in_the_code(word: str) -> None:
    """They go to the issue list."""
    folders = ("layers", "functions", "tools")

    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if f"# {word}" in path.read_text()]

    assert not found


# The chapters of each tool, each of which may build on those before it; a file beside them is a chapter of its own.
TOOL_CHAPTERS = {
    "batchdrop_cli": (
        "failures", "local", "account", "stack", "jobs", "aws", "doctor", "verify", "views", "demo", "commands", "main",
    ),
    "openai_batch_simulator": (
        "clock", "schedule", "draws", "messages", "blobs", "ledger", "answers", "faults", "account", "api", "routes",
        "control", "app", "profiles", "http", "sdk", "main",
    ),
}  # fmt: skip
# What takes long to import: a command that only prints its help must not wait for it.
HEAVY = {"boto3", "botocore", "genai_prices", "minijinja", "obstore", "openai", "pydantic", "rich"}
# What prints does nothing else: it asks no server, reads no option, starts no process.
VIEWS_FORBIDDEN = {"boto3", "botocore", "click", "httpx2", "obstore", "openai", "os", "socket", "subprocess"}


def tool_modules(package: str) -> dict[str, Path]:
    """Every module of one of the tools, by the name by which it is imported."""
    tools = ROOT / "tools"
    paths = (tools / package).rglob("*.py")
    names = {path.relative_to(tools).with_suffix("").as_posix().removesuffix("/__init__"): path for path in paths}
    return {name.replace("/", "."): path for name, path in names.items()}


def late_chapters(importer: str, source: str) -> list[str]:
    """What *source*, the text of a tool's module *importer*, imports of a later chapter of the tool."""
    package, chapter = importer.split(".")[:2]
    order = TOOL_CHAPTERS[package]
    late = {*order[order.index(chapter) + 1 :]}
    others = [name for name in files_imported(source) if name.startswith(f"{package}.")]
    return sorted(name for name in others if name.split(".")[1] in late)


def loaded_by(*modules: str) -> set[str]:
    """The packages that a new interpreter has loaded once it imported *modules*."""
    program = (
        f"import sys; [__import__(name) for name in {modules}]; print(*{{n.partition('.')[0] for n in sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603  # ours
    return set(done.stdout.split())


@pytest.mark.parametrize("package", sorted(TOOLS))
def test_the_chapters_of_a_tool_build_on_earlier_ones(package: str) -> None:
    """So an engineer who changes a view knows that no command of AWS depends on it."""
    modules = {name: path for name, path in tool_modules(package).items() if "." in name}

    found = {name: late for name, path in modules.items() if (late := late_chapters(name, path.read_text()))}

    assert {name.split(".")[1] for name in modules} == set(TOOL_CHAPTERS[package])
    assert not found


def test_a_later_chapter_of_a_tool_is_noticed() -> None:
    """Also where it is imported late; an earlier one is left alone."""
    late, early = "def late():\n    from batchdrop_cli.views import jobs", "from batchdrop_cli.local import stack"

    assert late_chapters("batchdrop_cli.jobs.x", late) == ["batchdrop_cli.views", "batchdrop_cli.views.jobs"]
    assert late_chapters("batchdrop_cli.jobs.x", early) == []
    assert late_chapters("openai_batch_simulator.answers.x", "import openai_batch_simulator.http.server") == [
        "openai_batch_simulator.http.server",
    ]


@pytest.mark.parametrize("package", sorted(TOOLS))
def test_no_two_files_of_a_tool_import_each_other(package: str) -> None:
    """As in the layer; the package itself is no file."""
    files = tool_modules(package)

    arrows = {name: files_imported(path.read_text()) & (set(files) - {package}) for name, path in files.items()}

    assert not circle(arrows)


def test_what_prints_does_nothing_else() -> None:
    """A view gets what it shows; only commands know click, and only views and the demo know rich."""
    users = {name: set(imports(path.read_text())) for name, path in tool_modules("batchdrop_cli").items()}
    roots = {name: {used.partition(".")[0] for used in names} for name, names in users.items()}
    views = {name: used for name, used in roots.items() if name.startswith("batchdrop_cli.views.")}

    assert len(views) > 10
    assert {name: bad for name, used in views.items() if (bad := used & VIEWS_FORBIDDEN)} == {}
    assert {name.split(".")[1] for name, used in roots.items() if "click" in used} == {"commands", "main"}
    assert {name.split(".")[1] for name, used in roots.items() if "rich" in used} == {"views", "demo"}


def test_help_waits_for_nothing_heavy() -> None:
    """Importing every command loads no SDK; a view loads no SDK of AWS or of the provider."""
    views = [name for name in tool_modules("batchdrop_cli") if name.startswith("batchdrop_cli.views.")]

    assert not loaded_by("batchdrop_cli.main") & HEAVY
    assert not loaded_by(*views) & {"boto3", "botocore", "obstore", "openai"}
    assert "boto3" in loaded_by("batchdrop_cli.jobs.results")


def homes_of_classes(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """The files that define each class, private ones included, where it is more than one."""
    homes: dict[str, list[str]] = {}
    for name, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(name)
    return {name: found for name, found in homes.items() if len(found) > 1}


PRODUCTS = (("layers/batchdrop/batchdrop", "functions", "tools/batchdrop_cli"), ("tools/openai_batch_simulator",))


@pytest.mark.parametrize("folders", PRODUCTS, ids=["Batchdrop", "the simulator"])
def test_no_two_classes_have_one_name(folders: tuple[str, ...]) -> None:
    """A name means one thing: a search for it finds one place. The simulator is a product of its own."""
    assert homes_of_classes(python_of(folders)) == {}


def test_a_second_class_of_a_name_is_found() -> None:
    """The search bites."""
    assert homes_of_classes({"a.py": "class X: pass", "b.py": "def f():\n    class X: pass"}) == {"X": ["a.py", "b.py"]}


DOLLARS = re.compile(r"\$\{[^}]*:[^}]*\d[^}]*\}|\}[\"']?\s*(?:f[\"'])?\s*US dollars")


def test_dollars_are_written_in_one_place() -> None:
    """How an amount looks is decided once, for mails, reports and the command."""
    found = [name for name, source in python_of(PRODUCTS[0]).items() if DOLLARS.search(source)]

    assert found == ["layers/batchdrop/batchdrop/core/model/money.py"]


@pytest.mark.parametrize("source", ['f"${usd:,.2f}"', 'f"about ${idle:.2f} a month"', 'f"{usd:,.4f} US dollars"'])
def test_dollars_that_are_written_elsewhere_are_found(source: str) -> None:
    """The search bites."""
    assert DOLLARS.search(source)


def python_of(folders: tuple[str, ...]) -> dict[str, str]:
    """The Python files below *folders*, by their paths in the repository."""
    root = Path(__file__).parents[2]
    paths = [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
    return {path.relative_to(root).as_posix(): path.read_text() for path in paths}
