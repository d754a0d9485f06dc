import re
from collections.abc import Mapping

import msgspec
import pytest

from batchdrop.core.model.errors import ItemRefused, UploadRejected
from batchdrop.core.model.limits import Limits
from batchdrop.core.planning.plan import JsonValue, Recipe
from batchdrop.core.planning.task import check_columns, parse_task, recipe_of_task
from batchdrop.formats.json_text import decode_record

CHAT = "endpoint: /v1/chat/completions\nbody:\n  model: m\n"
COLUMN = CHAT + "  x: '{{ key }}'\n"


def recipe(text: str) -> Recipe:
    """Return the recipe of the task file *text*."""
    return recipe_of_task(parse_task("t", text.encode()), Limits())


def filled(template: str, row: Mapping[str, JsonValue]) -> JsonValue:
    """Return what *template* becomes as a member of a body."""
    task = recipe(CHAT + f"  x: {msgspec.json.encode(template).decode()}\n")
    body: dict[str, JsonValue] = msgspec.json.decode(task.build(dict(row), "n").body)
    return body["x"]


def test_the_task_of_the_manual_works() -> None:
    """A body's strings are filled from the record, the id names the item."""
    task = recipe(
        CHAT
        + '  messages:\n    - {role: system, content: Be kind.}\n    - {role: user, content: "{{ review }}"}\nid: key\n'
    )
    row: JsonValue = {"key": "R/1", "review": 'He said "{{ review }}" \u2028 ü\n'}

    request = task.build(row, task.name(row, 1))

    assert (request.name, request.endpoint, request.model) == ("R%2F1", "/v1/chat/completions", "m")
    assert msgspec.json.decode(request.body) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": 'He said "{{ review }}" \u2028 ü\n'},
        ],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("endpoint: /v1/chat/completions\n", "`body`: field required"),
        ("body: {model: m}\n", "`endpoint`: field required"),
        (CHAT.replace("chat/completions", "audio"), "`endpoint`: input should be '/v1/responses'"),
        (CHAT + "max_cost_usd: 0\n", "line 4: `max_cost_usd`: input should be greater than 0"),
        (CHAT + "max_cost_usd:\n", "line 4: `max_cost_usd`: decimal input should be"),
        (CHAT + "max_cost_usd: true\n", "line 4: `max_cost_usd`: decimal input should be"),
        (CHAT + "max_cost_usd: .nan\n", "line 4: `max_cost_usd`: input should be a valid decimal"),
        (CHAT + "max_cost_usd: 0.0000001\n", "line 4: `max_cost_usd`: .* no more than 6 decimal places"),
        (CHAT + "max_cost_usd: 1000001\n", "line 4: `max_cost_usd`: input should be less than or equal to 1000000"),
        (CHAT + "dedup: true\n", "line 4: `dedup` isn't a field of a task .its fields are `endpoint`, `body`"),
        (CHAT + "dedupe: 1\n", "line 4: `dedupe`: input should be a valid boolean"),
        (CHAT + "dedupe: 'yes'\n", "line 4: `dedupe`: input should be a valid boolean"),
        (CHAT + "items: all\n", "line 4: `items`: input should be 'objects', 'index' or 'none'"),
        (CHAT + "items: [none]\n", "line 4: `items`: input should be"),
        (CHAT + "id: 7\n", "`id`: input should be a valid string"),
        (CHAT + "id: ''\n", "`id`"),
        ("endpoint: /v1/responses\nbody: [1]\n", "`body`"),
        ("endpoint: /v1/responses\nbody: {input: x}\n", "`body.model` must name a model"),
        ('endpoint: /v1/responses\nbody: {model: "m ", input: x}\n', "line 2: `body.model` begins or ends with a blank"),
        (CHAT + "  stream: true\n", "`body.stream`"),
        (CHAT + "  1: x\n", "the key 1 isn't a text"),
        (CHAT + "  x: {{ review }}\n", "line 4, column .* in quotes|key"),
        ("a: [1\nb: 2", "line 2, column 2 isn't YAML"),
        ("just text", "it isn't a mapping"),
        ("", "it isn't a mapping"),
        (CHAT + "  x: '{{ a'\n", r"body.x, line 1 of the text: .* a literal {{ is written between {% raw %}"),
        (CHAT + "  x: ['{{ a 7+ }}']\n", r"body\.x\[0\], line 1 of the text: unexpected"),
        (CHAT + "  x: '{% if a %}'\n", r"body\.x, line 1"),
        (CHAT + "#" * 300_000, "larger than 262144 bytes"),
        (CHAT + "  a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"  {new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ), "more than 10000 values"),
    ],
)  # fmt: skip
def test_a_task_that_cannot_be_used_says_where(text: str, message: str) -> None:
    """The operator is told the field or the line before anything is spent."""
    with pytest.raises(UploadRejected, match=message) as rejected:
        recipe(text)

    assert rejected.value.code == "task_invalid"
    assert "`t`" in rejected.value.message


def test_an_endpoint_may_lack_its_version() -> None:
    """Who copies it from Azure's documents means the same."""
    task = parse_task("t", b"endpoint: /chat/completions\nbody: {model: m, messages: [], user: '{{ a }}'}\n")

    assert task.endpoint == "/v1/chat/completions"


def test_a_task_that_is_not_utf8_is_rejected() -> None:
    """A file in another encoding is named as such."""
    with pytest.raises(UploadRejected, match=r"not UTF-8 at line 1 \(byte 3\)"):
        parse_task("t", b"x: \xe9")


@pytest.mark.parametrize("value", [1, 1.0, -2.5, True, None, "x", [1, "a", None], {"k": [1.5]}, 10**20])
@pytest.mark.parametrize("template", ["{{ a }}", "{{a}}", '{{ row["a"] }}', "{{ row.a }}"])
def test_one_expression_alone_keeps_the_type(template: str, value: JsonValue) -> None:
    """A list stays a list, a number a number."""
    assert filled(template, {"a": value}) == value


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ a | upper }}", "X"),
        ("{{ a ~ '}}' }}", "x}}"),
        ("{{ n + 1 }}", 4),
        ("{{ n > 2 }}", True),
        ("{{ l | first }}", 1),
        ("{{ l | reverse }}", [2, 1]),
        ("{{ o.k | default(1) }}", {"z": None}),
        ("{{ [a, n] }}", ["x", 3]),
        ("{{ nothing | default(7) }}", 7),
        ("{{ o.k.z }}", None),
        ("{{- a -}}", "x"),
        ("{{ a | safe }}", "x"),
    ],
)
def test_an_expression_of_the_engine_keeps_its_type_too(template: str, value: JsonValue) -> None:
    """What the template engine computes is JSON of its own type where it stands alone."""
    assert filled(template, {"a": "x", "n": 3, "l": [1, 2], "o": {"k": {"z": None}}}) == value


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("<{{ s }}>", "<x>"),
        ("{{ s }}{{ s }}", "xx"),
        ("{{ s }} and {{ n }}", "x and 3"),
        (" {{ n }}", " 3"),
        ("{{ n }}\n", "3\n"),
        ("<{{ null }}>", "<>"),
        ("<{{ t }}>", "<true>"),
        ("<{{ l }}>", '<[1,"ü"]>'),
        ("<{{ o }}>", '<{"k":null}>'),
        ('<{{ row["the name"] }}>', "<1>"),
        ("<{{ row['the name'] }}>", "<1>"),
        ("<{{ l | join('/') }}>", "<1/ü>"),
        ("{% for x in l %}{{ x }};{% endfor %}", "1;ü;"),
        ("{% if f %}yes{% else %}no{% endif %} {{ nothing_here }}", "no x"),
        ("{% raw %}{{ s }}{% endraw %}{{ n }}", "{{ s }}3"),
        ("{{ s }} } }} {", "x } }} {"),
    ],
)
def test_in_a_longer_text_values_are_written_as_text(template: str, text: str) -> None:
    """Lists and objects are JSON, null is nothing, with the engine and without it."""
    row: dict[str, JsonValue] = {
        "s": "x", "n": 3, "t": True, "f": False, "l": [1, "ü"], "o": {"k": None}, "the name": "1", "nothing_here": "x",
    }  # fmt: skip
    row["null"] = None

    assert filled(template, row) == text


@pytest.mark.parametrize(
    "template", ["{{ b }}", "x{{ b }}", "{{ b | upper }}", "{{ a.c }}!", '{{ row["b c"] }}', "{{ a.c.d }}"]
)
def test_what_is_undefined_fails_the_item(template: str) -> None:
    """The message names what is missing and which columns there are, and how a literal is written."""
    with pytest.raises(ItemRefused, match=r"undefined; the record has: `a`; .*\{% raw %\}") as refused:
        filled(template, {"a": {}})

    assert refused.value.code == "undefined"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ a + 1 }}", "operator"),
        ("{{ o.__class__() }}", "insecure"),
        ("{{ a | int }}", "invalid|cannot"),
        ("{{ a }}{% for x in range(99999) %}{% for y in range(99999) %}{% endfor %}{% endfor %}", "100,000 steps"),
        ("{{ debug() }}", "undefined|unknown"),
        ("{{ o | attr('keys') }}", "not JSON"),
    ],
)
def test_a_template_that_fails_takes_one_item_with_it(template: str, message: str) -> None:
    """Whatever a template does, it is stopped, and only its item fails."""
    with pytest.raises(ItemRefused, match=message):
        filled(template, {"a": "x", "o": {}})


@pytest.mark.parametrize(
    "change", ["row.clear()", "row['clear']()", "(row|attr('clear'))()", "o.pop('k')", "o.l.append(3)"]
)
def test_a_template_cannot_change_the_record(change: str) -> None:
    """What changes a dict or a list of Python is not there, however it is called, so that the next template sees the record."""
    row: dict[str, JsonValue] = {"a": "x", "o": {"k": "v", "l": [1]}}

    with pytest.raises(ItemRefused):
        filled("{{ " + change + " }}", row)

    assert row == {"a": "x", "o": {"k": "v", "l": [1]}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% for k, v in row.items() %}{{ k }}={{ v }};{% endfor %}", 'a=x;o={"k":"v"};'),
        ("{% for k in row %}{{ k }}{% endfor %}", "ao"),
        ("<{{ row }}>", '<{"a":"x","o":{"k":"v"}}>'),
        ("{{ o|tojson }}!", '{"k": "v"}!'),
        ("{{ o.get('z', 'none') }}!", "none!"),
        ("{{ row|length }}!", "2!"),
    ],
)
def test_a_record_is_read_as_a_mapping(template: str, text: str) -> None:
    """What only reads works as in Jinja."""
    assert filled(template, {"a": "x", "o": {"k": "v"}}) == text


@pytest.mark.parametrize("column", ["self", "template_name", "range", "environment", "kwargs"])
def test_any_column_name_can_be_used(column: str) -> None:
    """Words that mean something to the engine or to Python are columns like others, by `row[…]`."""
    assert filled('{{ row["' + column + '"] | upper }}', {column: "x"}) == "X"


@pytest.mark.parametrize("word", ["true", "True", "false", "False", "none", "None"])
def test_a_constant_alone_is_no_column(word: str) -> None:
    """A column of that name may be meant, or the text: the task is refused, and `row[…]` names the column."""
    row: dict[str, JsonValue] = {word: "the column"}

    for template in ("{{ " + word + " }}", "<{{" + word + "}}>"):
        with pytest.raises(UploadRejected, match=r"shows nothing of a record"):
            filled(template, row)
    assert filled('{{ row["' + word + '"] }}', row) == filled("{{ row." + word + " }}", row) == "the column"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('Reply {"b": {{"c"}}} for {{ a }}', '{{"c"}}'),
        ("{# keep me #} for {{ a }}", "{# keep me #}"),
        ("{{ a }} {{-7 -}}", "{{-7 -}}"),
        ("{{ a }}{#- to the end", "{#- to the end"),
    ],
)
def test_no_text_of_a_prompt_vanishes(text: str, code: str) -> None:
    """What a prompt of another program has in braces is complained of, because the engine would leave it out or change it."""
    with pytest.raises(
        UploadRejected, match=re.escape(f"`{code}` shows nothing of a record") + "|unclosed|unexpected end"
    ):
        filled(text, {"a": "x"})


def test_the_row_alone_is_the_whole_record() -> None:
    """As an object where it stands alone, as JSON in a longer text."""
    row: dict[str, JsonValue] = {"a": "x", "n": [1, {"a": None}]}

    assert filled("{{ row }}", row) == row
    assert filled("<{{ row }}>", row) == '<{"a":"x","n":[1,{"a":null}]}>'
    assert not recipe(CHAT + "  x: '{{ row }}'\n").columns


@pytest.mark.parametrize("template", ["{{ row }}", "Row {{ row }}", "{% if row|length %}{{ a }}{% endif %}"])
def test_a_column_called_row_is_not_taken_for_the_record(template: str) -> None:
    """Which of the two is meant is not known: the record is refused, and told how to name each member."""
    with pytest.raises(ItemRefused, match=r'write \{\{ row\["row"\] \}\}') as refused:
        filled(template, {"row": "5", "a": "x"})

    assert refused.value.code == "ambiguous"
    assert filled('{{ row["row"] }} {{ row.a }}', {"row": "5", "a": "x"}) == "5 x"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("Say {review}", "if `{review}` is meant as a column, write {{ review }}"),
        ("Say ${review}!", "if `${review}` is meant as a column, write {{ review }}"),
        ("Say <review>", "if `<review>` is meant as a column, write {{ review }}"),
        ("Say %(review)s", "if `%(review)s` is meant as a column, write {{ review }}"),
        ("Say $review", "if `$review` is meant as a column, write {{ review }}"),
        ("Say it", "a column is written as in {{ review }}"),
        ("{{ range(3) | length }}", "a column is written as in {{ review }}"),
    ],
)
def test_a_task_that_uses_no_column_is_refused(text: str, advice: str) -> None:
    """All its requests would be the same, and each would be paid; an id alone changes nothing of that."""
    with pytest.raises(UploadRejected, match="uses no column, so all requests would be the same") as rejected:
        recipe(CHAT + f"  x: {msgspec.json.encode(text).decode()}\nid: key\n")

    assert rejected.value.message.endswith(advice)


def test_a_loop_alone_is_no_column() -> None:
    """It is known within a loop, and its members are numbers; a column of that name is asked for by `row[…]`."""
    row: dict[str, JsonValue] = {"loop": "the column", "l": ["a", "b"]}

    assert filled("{% for x in l %}{{ loop.index }}{{ x }}{% endfor %}", row) == "1a2b"
    assert filled("{{ row['loop'] }}", row) == "the column"
    for template in ("{{ loop }}", "<{{ loop }}>"):
        with pytest.raises(ItemRefused, match="`loop` is undefined"):
            filled(template, row)


def test_a_not_alone_is_a_mistake() -> None:
    """It wants something behind it: the task is refused, whatever columns there are."""
    for template in ("{{ not }}", "<{{ not }}>"):
        with pytest.raises(UploadRejected, match=r"body\.x, line 1"):
            filled(template, {"not": "the column"})
    assert filled("{{ row.not }}", {"not": "the column"}) == "the column"


@pytest.mark.parametrize(
    "word", ["and", "or", "in", "is", "if", "else", "range", "self", "super", "caller", "nothing", "null", "row_"]
)
def test_any_other_word_alone_is_a_column(word: str) -> None:
    """Which the task cannot do without; what it means elsewhere in a template does not matter."""
    row: dict[str, JsonValue] = {word: 7}

    assert filled("{{ " + word + " }}", row) == 7
    assert filled("<{{ " + word + " }}>", row) == "<7>"
    assert recipe(CHAT + '  x: "{{ ' + word + ' }}"\n').columns == {word}


def test_keys_of_a_body_are_literal() -> None:
    """Only values are templates."""
    task = recipe(CHAT + '  "{{ a }}": x\n  y: "{{ a }}"\n')

    body = task.build({"a": "1"}, "n").body

    assert msgspec.json.decode(body) == {"model": "m", "{{ a }}": "x", "y": "1"}


def test_the_model_may_come_from_the_record() -> None:
    """A task may send its items to different models."""
    task = recipe('endpoint: /v1/responses\nbody: {model: "{{ m }}", input: hi}\n')

    assert task.build({"m": "gpt"}, "n").model == "gpt"
    with pytest.raises(ItemRefused, match="lacks `model`"):
        task.build({"m": ""}, "n")


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("{{ a }}", {"a"}),
        ("x {{ a }} {{ row['b c'] }}", {"a", "b c"}),
        ('{{ a | upper }} {% if b %}{{ row["c d"] }}{% endif %}', {"a", "b", "c d"}),
        ("{{ a | default('x') }} {{ b | d(1) }} {% if c is defined %}{{ c }}{% endif %}", set()),
        ("{{ row['a b'] | default('') }}", set()),
        ("{% for x in l %}{{ x }}{{ loop.index }}{% endfor %}{% set y = 1 %}{{ y }}", {"l"}),
        ("{% raw %}{{ a }}{% endraw %}{{ b }}", {"b"}),
        ("{{ row.keys() }}", set()),
    ],
)  # fmt: skip
def test_the_columns_that_a_task_needs_are_known(template: str, columns: set[str]) -> None:
    """What a template cannot do without is known before the first record."""
    task = recipe(CHAT + f"  x: {msgspec.json.encode(template).decode()}\nid: key\n")

    assert task.columns == columns | {"key"}


def test_a_table_without_a_named_column_is_rejected_whole() -> None:
    """One message says which columns are missing and which there are."""
    task = recipe(CHAT + "  x: '{{ reveiw }}'\nid: key\n")

    with pytest.raises(
        UploadRejected, match=r"names `key`, `reveiw`, which the CSV header \(line 1\) lacks; it has `id`, `review`"
    ):
        check_columns(task, ("id", "review"))


def test_without_an_id_column_items_are_named_by_row() -> None:
    """Rows name items where nobody else does, and such names cannot repeat."""
    task = recipe(COLUMN)

    assert task.name({}, 7) == "000000007"
    assert not task.names_from_user


@pytest.mark.parametrize(("identifier", "name"), [("a b", "a%20b"), (7, "7"), ("0", "0"), (3.0, "3")])
def test_an_id_names_its_item(identifier: JsonValue, name: str) -> None:
    """Text and whole numbers are ids, also as pandas writes them in a column with a gap."""
    assert recipe(COLUMN + "id: key\n").name({"key": identifier}, 1) == name


@pytest.mark.parametrize(
    "record", [{"key": ""}, {"key": "  "}, {"key": None}, {"key": True}, {"key": 1.5}, {"key": []}, {}]
)
def test_a_record_without_an_id_is_refused(record: JsonValue) -> None:
    """An empty id would make a key without a name."""
    with pytest.raises(ItemRefused) as refused:
        recipe(COLUMN + "id: key\n").name(record, 1)

    assert refused.value.code == "no_id"


@pytest.mark.parametrize("record", ["text", 1, None, ["a"]])
def test_a_task_takes_objects_alone(record: JsonValue) -> None:
    """A record without columns cannot fill a template."""
    with pytest.raises(ItemRefused, match="JSON objects"):
        recipe(COLUMN).build(record, "n")


SHOWN = ["{{ v }}", "<{{ v }}>", "{% if v %}{% endif %}<{{ v }}>", "{{ v|default(1) }}", "<{{ [v] }}>"]
NUMBERS = [
    "1.10",
    "100.00",
    "1e5",
    "0.1000000000000000055",
    "12345678901234567890.12",
    "12345678901234567890123456",
    "-0.0",
]


@pytest.mark.parametrize("digits", NUMBERS)
@pytest.mark.parametrize(
    "template", ["{{ v }}", "<{{ v }}>", "{% if v %}{% endif %}<{{ v }}>", "{{ v|default(1) }}", "<{{ [v] }}>"]
)
def test_a_number_keeps_its_digits(digits: str, template: str) -> None:
    """What stands in the record reaches the prompt, with the engine and without it."""
    record = decode_record(b'{"v": %s, "w": [{"price": 2.50}]}' % digits.encode(), 1, 0)
    assert isinstance(record, dict)
    task = recipe(
        CHAT + f"  x: {msgspec.json.encode(template).decode()}\n  y: '{{{{ w }}}}'\n  z: '<{{{{ w[0] }}}}>'\n"
    )
    body = task.build(record, "n").body.decode()

    shown = f"[{digits}]" if "[v]" in template else digits
    x = f'"<{shown}>"' if "<" in template else shown
    assert body.endswith(f'"x":{x},"y":[{{"price":2.50}}],"z":"<{{\\"price\\":2.50}}>"}}')


def test_what_a_template_calculates_is_a_number() -> None:
    """Digits are kept of what is shown, and numbers can still be compared and calculated with."""
    record = decode_record(b'{"price": 2.50}', 1, 0)

    assert isinstance(record, dict)
    assert filled("{{ price|float * 2 }}", record) == 5
    assert filled("{% if price > 2 %}{{ price }}{% endif %}", record) == "2.50"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (12.5, "12.5"),
        (True, "true"),
        ({"a": 1}, '{"a":1}'),
        ([1, 2], "[1,2]"),
        ([], "[]"),
        (7, "7"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("template", ["{{ v }}", "{{ v|default('x', false) }}"])
def test_a_field_that_takes_text_gets_text(value: JsonValue, text: str, template: str) -> None:
    """The provider refuses a request whose content is a number; it is the prompt all the same."""
    task = recipe(
        f'endpoint: /v1/chat/completions\nbody:\n  model: m\n  messages: [{{role: user, content: "{template}"}}]\n'
    )

    body = msgspec.json.decode(task.build({"v": value}, "n").body)

    assert body["messages"][0]["content"] == text


def test_a_field_that_takes_parts_gets_parts() -> None:
    """A list of objects is what the author has parts in; `input` takes any list, such as tokens."""
    parts: JsonValue = [{"type": "text", "text": "hi"}]
    chat = recipe('endpoint: /v1/chat/completions\nbody: {model: m, messages: [{content: "{{ v }}"}]}\n')
    embed = recipe('endpoint: /v1/embeddings\nbody: {model: m, input: "{{ v }}", user: 1.10}\n')

    assert msgspec.json.decode(chat.build({"v": parts}, "n").body)["messages"][0]["content"] == parts
    assert msgspec.json.decode(embed.build({"v": [1, 2]}, "n").body) == {"model": "m", "input": [1, 2], "user": "1.10"}
    assert msgspec.json.decode(embed.build({"v": 5}, "n").body)["input"] == "5"


@pytest.mark.parametrize("template", ["{{ v }}", "{{ v|default(1) }}"])
def test_a_null_where_a_text_is_wanted_is_an_invalid_record(template: str) -> None:
    """Nothing is sent for it, and the reason names the field."""
    task = recipe(f'endpoint: /v1/chat/completions\nbody: {{model: m, messages: [{{content: "{template}"}}]}}\n')

    with pytest.raises(ItemRefused, match="`content` takes a text, and this record gives null") as refused:
        task.build({"v": None}, "n")

    assert refused.value.code == "no_text"


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("seed: 0777", 'line 4: `body.seed` must be a whole number, not the text "0777"'),
        ("seed: 1.5", "`body.seed` must be a whole number, not 1.5"),
        ("temperature: no", 'must be a number, not the text "no"'),
        ("temperature: true", "must be a number, not true"),
        ("max_tokens: '5'", 'must be a whole number, not the text "5"'),
        ("stop: 5", "must be a text or a list of texts, not 5"),
        ("stop: [a, 1]", 'must be a text or a list of texts, not ["a",1]'),
        ("store: yes", 'must be true or false, not the text "yes"'),
        (
            "format: {enum: [true, x], type: string}",
            "line 4: `body.format.enum[0]` must be a text like its `type`, not true; put it in",
        ),
    ],
)
def test_a_constant_of_the_wrong_type_is_refused_with_its_line(field: str, message: str) -> None:
    """The provider would refuse each line for it."""
    with pytest.raises(UploadRejected, match=re.escape(message)):
        recipe(CHAT + f"  {field}\n  x: '{{{{ a }}}}'\n")


@pytest.mark.parametrize(
    "field",
    ["seed: 1e0", "stop: no", "stop: [no, on]", "temperature: 1e0", "temperature: null", "max_tokens: '{{ a }}'", "n: 1",
     "format: {enum: [yes, no], type: string}", "format: {enum: [1, 2], type: integer}"],
)  # fmt: skip
def test_a_constant_of_the_right_type_is_sent_as_it_stands(field: str) -> None:
    """`no` is a text, and `1e0` a number."""
    assert recipe(CHAT + f"  {field}\n  x: '{{{{ a }}}}'\n").build({"a": 1}, "n")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("review\u00a0", r"`review\\xa0`"),
        ("re\u200bview", r"`re\\u200bview`"),
        ("\ufeffreview", r"`\\ufeffreview`"),
        ("cafe\u0301", r"`cafe\\u0301`"),
        ("a\tb", r"`a\\tb`"),
        ("Größe 日本", "`Größe 日本`"),
    ],
)
def test_a_difference_that_nobody_can_see_is_shown(name: str, shown: str) -> None:
    """A message about a column says in which signs its name differs from what was meant."""
    with pytest.raises(UploadRejected, match=f"it has {shown}"):
        check_columns(recipe(CHAT + "  x: '{{ review }}'\n"), (name,))


@pytest.mark.parametrize(
    "column",
    ["Customer Review", "order-id", "Review 2", "Größe in cm".replace(" in ", " nach "), "a-b c", "e-mail", "x_1 y"],
)
@pytest.mark.parametrize("template", ["{{ %s }}", "<{{%s}}>", "{{ %s }} and {{ a }}"])
def test_a_heading_can_be_written_as_it_is(column: str, template: str) -> None:
    """With blanks and hyphens, as a person sees it in the spreadsheet."""
    text = template % column

    assert filled(text, {column: "v", "a": "w"}) == template.replace("{{ %s }}", "v").replace("{{%s}}", "v").replace(
        "{{ a }}", "w"
    )
    assert recipe(CHAT + f"  x: {msgspec.json.encode(text).decode()}\n").columns >= {column}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ a - b }}", 2),
        ("{{ a if b else c }}", 5),
        ("{{ a is defined }}", True),
        ("{{ not a }}", False),
        ("{{ a and b }}", 3),
    ],
)
def test_what_is_code_stays_code(template: str, value: JsonValue) -> None:
    """A hyphen with blanks around it is a minus, and the language's own words are no part of a heading."""
    assert filled(template, {"a": 5, "b": 3, "c": 1}) == value
