import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from batchdrop.core.model.errors import ItemRefused
from batchdrop.core.model.estimates import base_tokens
from batchdrop.core.model.limits import Limits
from batchdrop.core.planning.plan import JsonValue
from batchdrop.core.planning.task import parse_task, recipe_of_task
from batchdrop.core.planning.templates import compile_body

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text('{}%#" \\\n-', max_size=10)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def rendered(body: JsonValue, row: dict[str, JsonValue]) -> JsonValue:
    """Return what *body* becomes."""
    value: JsonValue = msgspec.json.decode(compile_body(body).render(row))
    return value


@given(VALUES)
def test_what_a_record_holds_is_never_a_template(value: JsonValue) -> None:
    """A value that looks like a template stands in the body as it is."""
    row: dict[str, JsonValue] = {"a": value, "secret": "s"}

    assert rendered({"x": "{{ a }}"}, row) == {"x": value}


@given(VALUES)
def test_the_short_way_and_the_engine_agree(value: JsonValue) -> None:
    """A plain column gives the same with and without the template engine, alone and in a text."""
    row = {"a": value}

    alone = rendered(["{{ a }}", "{{ (a) }}"], row)
    within = rendered(["<{{ a }}>", "<{{ (a) }}>"], row)

    assert isinstance(alone, list)
    assert isinstance(within, list)
    assert alone[0] == alone[1] == value
    assert within[0] == within[1]


@given(TEXTS.filter(lambda text: not any(mark in text for mark in ("{{", "{%", "{#"))), TEXTS)
def test_text_around_a_column_is_kept(around: str, value: str) -> None:
    """Literal text comes through unchanged, backslashes, quotes and line ends included."""
    # A brace next to the expression would change what the template says.
    before, after = f"{around} <", f"> {around}"

    assert rendered({"x": before + "{{ a }}" + after}, {"a": value}) == {"x": before + value + after}


@given(VALUES.filter(lambda value: "{" not in str(value)))
def test_a_body_without_templates_is_itself(value: JsonValue) -> None:
    """What names no column is sent as it was written."""
    assert rendered({"x": value}, {}) == {"x": value}


PICTURES = st.sampled_from(["image_url", "input_image", '"type":"image_url"', "text"])
PARTS: st.SearchStrategy[JsonValue] = st.fixed_dictionaries(
    {"type": PICTURES | st.sampled_from(["{{ a }}", "image_{{ a }}", "{{ (a) }}"])},
    optional={"image_url": st.sampled_from(["{{ a }}", "data:image/png;base64,{{ a }}"]), "detail": st.just("low")},
)
CONTENTS = st.lists(PARTS, max_size=3) | st.sampled_from(
    ["{{ a }}", "<{{ a }}>", "{{ [a] }}", '{"type":"image_url"} {{ a }}']
)
RECORDS = PICTURES | VALUES | st.lists(st.fixed_dictionaries({"type": PICTURES}), max_size=2) | st.just("url")


@given(CONTENTS, RECORDS)
def test_an_estimate_follows_from_the_body_alone(content: JsonValue, value: JsonValue) -> None:
    """Where a body is not searched for pictures, because it can show none, the estimate is the same."""
    body = {"model": "m", "user": "{{ a|tojson }}", "messages": [{"role": "user", "content": content}]}
    task = msgspec.json.encode({"endpoint": "/v1/chat/completions", "body": body})

    recipe = recipe_of_task(parse_task("t", task), Limits())
    try:
        request = recipe.build({"a": value}, "name")
    except ItemRefused as refused:  # null where a text is wanted
        assume(refused.code != "no_text")
        raise

    assert request.tokens == base_tokens(request.body, Limits().bytes_per_token)
