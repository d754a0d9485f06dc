"""What a template may make of a record, whoever wrote either."""

import tracemalloc

import msgspec
import pytest

from batchdrop.core.model.errors import ItemRefused, UploadRejected
from batchdrop.core.model.limits import Limits
from batchdrop.core.planning.plan import JsonValue
from batchdrop.core.planning.task import parse_task, recipe_of_task
from batchdrop.core.planning.template_bounds import TEXT_BYTES_MAX, VALUES_BYTES_MAX, Unbounded, bounds_of

CHAT = "endpoint: /v1/chat/completions\nbody:\n  model: m\n"
RECORD: dict[str, JsonValue] = {
    "a": "abc", "n": 5, "l": [1, 2], "o": {"k": [1]}, "big": "y" * 1_000_000, "loop": {"index": "x"},
}  # fmt: skip


def rendered(template: str, record: dict[str, JsonValue]) -> JsonValue:
    """Return what *template* becomes as a member of a body."""
    task = recipe_of_task(
        parse_task("t", (CHAT + f"  x: {msgspec.json.encode(template).decode()}\n").encode()), Limits()
    )
    body: dict[str, JsonValue] = msgspec.json.decode(task.build(record, "n").body)
    return body["x"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ a|indent(1000000000) }}", "`indent` takes a number from 0 to 100"),
        ("{{ a|indent(n) }}", "`indent` takes a number"),
        ("{{ a|indent(width=1000) }}", "`indent` takes a number"),
        ("{{ '%1000000000d'|format(3) }}", "no filter `format`; there are: abs, "),
        ("{{ l|slice(1000000000) }}", "`slice` takes a number"),
        ("{{ l|batch(1000000000, a) }}", "`batch` takes a number"),
        ("{{ o|tojson(indent=1000000000) }}", "`tojson` takes a number"),
        ("{{ big|replace('y', big) }}", "`replace` takes texts in quotes"),
        ("{{ big|list|join(big) }}", "`join` takes texts in quotes"),
        ("{{ l|map('replace', 'a', big)|list }}", "`map` takes `attribute=`"),
        ("{{ l|chain(l) }}", "no filter `chain`"),
        ("{{ big|wordwrap(1, wrapstring=big) }}", "no filter `wordwrap`"),
        ("{% set a = a ~ a %}" * 40 + "{{ a }}", "template_too_large: .* times as long"),
        ("{% set a = [a, a, a, a]|join %}" * 20 + "{{ a }}", "template_too_large"),
        ("{% set a = a|tojson %}" * 20 + "{{ a }}", "template_too_large"),
        ("{% for x in [a ~ a] %}" * 20 + "{{ x }}" + "{% endfor %}" * 20, "template_too_large"),
        ("{% with b = a ~ a, c = a ~ a %}" * 20 + "{{ b }}" + "{% endwith %}" * 20, "template_too_large"),
        ("{{ 'x' * 1000000000 }}", r"`\*` takes numbers alone"),
        ("{{ a * n }}", r"write `a\|float \* b\|int`"),
        ("{{ n * 3 }}", r"`\*` takes numbers alone"),
        ("{{ (a if n else l) * 3 }}", r"`\*` takes numbers alone"),
        ("{{ (a ~ '1') * 3 }}", r"`\*` takes numbers alone"),
        ("{{ 3 * l|first }}", r"`\*` takes numbers alone"),
        ("{{ loop.previtem * 3 }}", r"`\*` takes numbers alone"),
        ("{{ a + big }}", r"`\+` takes numbers alone; .* `a ~ b` to join texts"),
        ("{% for x in l %}{% set loop = o %}{{ loop.index * 9 }}{% endfor %}", "cannot assign to reserved variable"),
        ("{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f(a) }}", "`{% macro %}` cannot be used"),
        ("{% for x in l recursive %}{{ loop(l) }}{% endfor %}", "recursive loops cannot be used"),
        ("{% filter upper %}{{ a }}{% endfilter %}", "`{% filter %}` cannot be used"),
        ("{% include 'file' %}", "`{% include %}` cannot be used"),
        ("{% extends 'file' %}", "`{% extends %}` cannot be used"),
        ("{%- macro f() -%}{%- endmacro -%}{{ a }}", "`{% macro %}` cannot be used"),
    ],
)
def test_what_has_no_bound_is_refused_with_the_task(template: str, message: str) -> None:
    """Whoever puts the task is told the field, the line and what to write instead; nothing of it ever runs."""
    with pytest.raises(UploadRejected, match=message) as rejected:
        rendered(template, RECORD)

    assert "line 4: body.x" in rejected.value.message


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(50000) %}{{ big }}{% endfor %}",
        "{% for i in range(9999) %}{% set x %}{{ big }}{% endset %}{% endfor %}",
        "{% set x %}{{ big }}{{ big }}{% endset %}" * 20 + "{{ x }}",
        "{{ a|upper }}{{ big }}" * 3_000,
        "{{ a }}{{ big }}" * 3_000,
        "{{ big ~ big }}{{ big|tojson|tojson|tojson }}",
    ],
)
def test_what_grows_with_the_record_ends_at_a_limit(template: str) -> None:
    """A record that a template makes too much of fails alone, by name, and memory stays near the limit."""
    tracemalloc.start()
    with pytest.raises(ItemRefused) as refused:
        rendered(template, RECORD)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert refused.value.code == "template_too_large"
    assert peak_bytes < 5 * TEXT_BYTES_MAX


def test_a_constant_in_a_loop_is_stopped_by_steps() -> None:
    """The longer what a loop repeats, the fewer steps the template has."""
    with pytest.raises(ItemRefused, match="steps, the most for this task"):
        rendered("{{ a }}{% for i in range(50000) %}" + "c" * 5_000 + "{% endfor %}", RECORD)

    assert bounds_of("c" * 200_000 + "{% for i in l %}x{% endfor %}").steps > 50_000


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ n|int * 3 }}", 15),
        ("{{ (n|int + 1) * 2 }}", 12),
        ("{{ 2 * (n|int - 1) }}", 8),
        ("{{ (2 * 3) * n|float }}", 30.0),
        ("{{ n|float|round(1) * 2 }}", 10.0),
        ("{{ l|length * 10 }}", 20),
        ("{{ n + 1 }}", 6),
        ("{{ 1 + o.k[0] }}", 2),
        ("{{ -1 + n }}", 4),
        ("{% for x in l %}{{ loop.index * 2 }};{% endfor %}", "2;4;"),
        ("{{ a ~ ' * ' ~ n }}", "abc * 5"),
        ("{{ a|replace('a', 'b') }}", "bbc"),
        ("{{ l|join(', ') }}", "1, 2"),
        ("{{ l|map('string')|join('+') }}", "1+2"),
        ("{{ a|indent(2, true) }}", "  abc"),
        ("{% raw %}{{ a * b }}{% endraw %}{{ n }}", "{{ a * b }}5"),
        ("{% set x = a ~ '!' %}{{ x }}", "abc!"),
        ("{{ '}}' ~ a }}", "}}abc"),
        ("{{ {'k': {'z': a}}.k.z }}", "abc"),
    ],
)
def test_what_people_write_still_works(template: str, value: JsonValue) -> None:
    """The bounds are far beyond what a prompt needs."""
    assert rendered(template, RECORD) == value


@pytest.mark.parametrize(
    "code",
    [
        "{{ " + "1+" * 40_000 + "1 }}",
        "{{ " + "a.b|int + " * 8_000 + "1 }}",
        "{{ " + ":" * 100_000,
        "{{" * 50_000,
        "{#" * 60_000,
        "{% raw %}" * 20_000,
        '{{ "' + "\\" * 100_000 + '" }}',
        "{{ " + "[" * 60_000,
    ],
)
def test_any_code_is_looked_at_in_one_go(code: str) -> None:
    """A task file of a quarter of a megabyte takes a second at most, even where the engine would refuse it."""
    try:
        bounds = bounds_of(code)
    except Unbounded:
        return

    assert bounds.growth * bounds.record_bytes_max <= VALUES_BYTES_MAX
