"""Files as people drop them by mistake, and what they are told: the cases of test_bad_input and of docs/troubleshooting.md.

Rule: wherever a record has content, it holds CANARY, so that a test can look for it where content must never be.
"""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass

CANARY = "canary in the content"
TASK = b"""endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  messages:
    - {role: user, content: "Rate: {{ review }}"}
id: review_id
"""
TASKS = {
    "sentiment": TASK,
    "yaml": b"endpoint: /v1/responses\nbody: {model: m, input: {{ review }}}\n",
    "fields": TASK.replace(b"chat/completions", b"chat") + b"temperature: 0\n",
    "template": TASK.replace(b"{{ review }}", b"{{ review, all }}"),
}
HEADER = "review_id,review\n"
ROW = f"R-1,{CANARY}\n"
TABLE = HEADER + ROW


@dataclass(frozen=True, slots=True)
class Wrong:
    """A file that is rejected whole."""

    what: str  # is wrong, in the words of the page
    key: str
    content: Callable[[], bytes]
    code: str
    says: tuple[str, ...]  # what the person has to find in the notification
    fix: str


@dataclass(frozen=True, slots=True)
class WrongRecord:
    """A record that fails alone, in a file of others that do not."""

    what: str
    content: str  # one line
    code: str
    says: str
    fix: str


def native(custom_id: object = "R-1", **members: object) -> str:
    """Return a ready-made request, but for *members*; those that are None are left out."""
    body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": CANARY}]}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body, **members}
    return json.dumps({name: value for name, value in line.items() if value is not None})


def lines(*records: object) -> Callable[[], bytes]:
    """Return the content of a file with one record a line."""
    return lambda: b"".join(json.dumps(record).encode() + b"\n" for record in records)


def text(content: str, encoding: str = "utf-8") -> Callable[[], bytes]:
    """Return *content* as a file."""
    return lambda: content.encode(encoding)


CSV = "inbox/sentiment/reviews.csv"
REJECTED = (
    Wrong(
        "The folder below `inbox/` isn't a task", "inbox/sentimant/reviews.csv", text(TABLE), "no_such_task",
        ("tasks/sentimant.yaml", "`sentiment`", "directly below inbox/"),
        "Write the task, or drop the file below one that there is. A task that comes within two minutes of its drop is in time.",
    ),
    Wrong(
        "The task isn't YAML", "inbox/yaml/reviews.csv", text(TABLE), "task_invalid", ("`yaml`", "line 2, column"),
        "Correct the task at that line, and put a text that begins with `{{` in quotes.",
    ),
    Wrong(
        "The task has fields that are wrong or unknown", "inbox/fields/reviews.csv", text(TABLE), "task_invalid",
        ("line 1: `endpoint`", "line 7: `temperature` isn't a field"),
        "Correct these fields. Fields of the request belong below `body`.",
    ),
    Wrong(
        "A template in the task cannot be read", "inbox/template/reviews.csv", text(TABLE), "task_invalid",
        ("line 5: body.messages[0].content",),
        'Correct it; a column whose name has signs in it is `{{ row["review, all"] }}`.',
    ),
    Wrong(
        "A column is missing", CSV, text(f"review_id,text\n{ROW}"), "missing_column",
        ("names `review`", "it has `review_id`, `text`"), "Rename the column, or correct the task.",
    ),
    Wrong(
        "A title is above the header", CSV, text(f"Reviews of May\n\n{TABLE}"), "header_elsewhere",
        ("line 1 of the CSV lacks `review`, `review_id`", "line 3 has them", "`csv: {header: 3}`"),
        "Say in the task where the header is, or remove the lines above it.",
    ),
    Wrong(
        "JSON under the name of a table", CSV, lines({"review_id": "1", "review": CANARY}), "unknown_format",
        ("the file is JSON", ".jsonl"), "Give the file the name of what it is.",
    ),
    Wrong(
        "A table under the name of JSON lines", "inbox/sentiment/reviews.jsonl", text(TABLE), "unknown_format",
        ("looks like a table", ".csv"), "Give the file the name of what it is.",
    ),
    Wrong(
        "Two columns have the name that the task names", CSV, text(f"review,review\n{ROW}"), "bad_header",
        ("columns 1 and 2", "`review`"), "Rename one of them.",
    ),
    Wrong(
        "The file is in an encoding that its bytes do not tell for certain", CSV,
        text(f"{HEADER}R-0,good\nR-1,też {CANARY}\n", "windows-1250"), "not_utf8",
        ("line 3 (byte", "Windows-1250", "`encoding: windows-1250`"),
        "Say the encoding in the task, or save the file as UTF-8.",
    ),
    Wrong(
        "A quote is never closed", CSV, text(f'{HEADER}R-0,good\nR-1,"{CANARY}\nR-2,next\n'), "broken_csv",
        ("line 3 (byte 30) is never closed",), 'Close it; a quote inside of a quoted field is written twice (`""`).',
    ),
    Wrong(
        "A quote is closed by another row's", CSV, text(f'{HEADER}R-1,"{CANARY}\nR-2,"next"\n'), "broken_csv",
        ("opens at line 2 (byte 21)",), "Close the quote that is named.",
    ),
    Wrong(
        "A table is directly below `inbox/`", "inbox/reviews.csv", text(TABLE), "csv_without_task", ("tasks/<name>.yaml",),
        "Write a task and drop the file below the folder of its name.",
    ),
    Wrong(
        "A workbook", "inbox/sentiment/reviews.xlsx", lambda: b"PK\x03\x04", "unknown_format", (".xlsx", "CSV UTF-8"),
        "Save the sheet as `CSV UTF-8` and drop that.",
    ),
    Wrong(
        "A workbook under another name", CSV, lambda: b"PK\x03\x04\x14\x00\x06\x00\x08\x00", "unknown_format",
        ("Excel workbook", "CSV UTF-8"), "Save the sheet as `CSV UTF-8`; renaming changes nothing.",
    ),
    Wrong(
        "A packed file that is broken", "inbox/sentiment/reviews.csv.gz", lambda: gzip.compress(TABLE.encode())[:-9],
        "broken_gzip", ("packed with gzip and cannot be unpacked",), "Pack it again.",
    ),
    Wrong(
        "An archive", "inbox/sentiment/reviews.zip", lambda: b"PK\x03\x04", "unknown_format", (".zip", "unpack it"), "Unpack it.",
    ),
    Wrong(
        "A JSON file that isn't an array", "inbox/nightly.json", text(native()), "not_an_array", ("between [ and ]", ".jsonl"),
        "Put the record between `[` and `]`; name a file with one record a line `.jsonl`.",
    ),
    Wrong(
        "An array that ends too early", "inbox/nightly.json", text(f"[{native()},\n{native(2)}"), "broken_array",
        ("ends behind record 2",), "Write the file again: its end is missing.",
    ),
    Wrong(
        "An array under the name of JSON lines", "inbox/nightly.jsonl",
        text(f"[\n{native()},\n{native(2)}\n]\n"), "one_document", ("over many lines", ".json"), "Name it `.json`.",
    ),
    Wrong(
        "The batch format of Amazon Bedrock", "inbox/nightly.jsonl", lines({"recordId": "1", "modelInput": {"prompt": CANARY}}),
        "foreign_format", ("Amazon Bedrock",), "Write OpenAI's lines.",
    ),
    Wrong(
        "The batch format of Anthropic", "inbox/nightly.jsonl",
        lines(*({"custom_id": f"{number}", "params": {"model": "claude", "messages": [CANARY]}} for number in range(3))),
        "foreign_format", ("Anthropic", "each of the first 3"), "Write OpenAI's lines.",
    ),
    Wrong(
        "The body of a call to Anthropic's batch API", "inbox/nightly.json",
        lambda: json.dumps({"requests": [{"custom_id": "1", "params": {"messages": [CANARY]}}]}).encode(), "foreign_format",
        ("Anthropic",), "Write OpenAI's lines.",
    ),
    Wrong(
        "The batch format of Google", "inbox/nightly.jsonl", lines({"request": {"contents": [CANARY]}}), "foreign_format",
        ("Google Vertex AI",), "Write OpenAI's lines.",
    ),
    Wrong(
        "Records directly below `inbox/`", "inbox/reviews.jsonl", lines(*({"review": CANARY} for _ in range(30))), "bad_request",
        ("needs `messages`", "records for a task go below", "first 20 records"), "Drop them below the folder of a task.",
    ),
    Wrong(
        "JSON lines that lack what the task names", "inbox/sentiment/reviews.jsonl",
        lines(*({"review_id": number, "text": CANARY} for number in range(30))), "undefined",
        ("`review` is undefined", "`review_id`, `text`", "first 20 records"), "Rename the member, or correct the task.",
    ),
    Wrong(
        "A file that isn't JSON at all", "inbox/nightly.jsonl", text("Dear all\n" * 30), "not_json",
        ("line 1 (at byte 0) is not JSON at column 1", "first 20 records"), "Write one JSON object a line.",
    ),
    Wrong(
        "A line that is too long", "inbox/nightly.jsonl", lambda: native().encode() + b"\n" + b"x" * 16_000_001,
        "record_too_large", ("line 2 ", "16,000,000 bytes", "record_bytes_max"),
        "Split the record, or look for line ends that are missing.",
    ),
    Wrong(
        "A field that is too long", CSV, lambda: HEADER.encode() + b"R-1," + b"x" * 8_000_001, "record_too_large",
        ("line 2 ", "8,000,000 characters", "csv_field_bytes_max"), "Split the field, or look for a quote that is never closed.",
    ),
    Wrong(
        "An element that is too long", "inbox/nightly.json", lambda: b'["' + b"x" * 16_000_001 + b'"]', "record_too_large",
        ("record 1 ", "16,000,000 bytes", "record_bytes_max"), "Split the record, or look for a quote that is never closed.",
    ),
    Wrong(
        "A key over 700 bytes", f"inbox/{'k' * 1_018}", text(native()), "key_too_long", ("longer than 700 bytes",),
        "Use a shorter name.",
    ),
    Wrong(
        "A key with a part `.` or `..`, an empty one, or a control character", "inbox/sentiment/../reviews.csv", text(TABLE),
        "key_unusable", ("`..`",), "Rename it.",
    ),
    Wrong(
        "Results that were copied back into the inbox", "inbox/sentiment/reviews.csv/0123456789abcdef0123/results.csv",
        text(TABLE), "key_of_results", ("the id of a job",), "Drop only files of your own.",
    ),
)  # fmt: skip

FAILED = (
    WrongRecord(
        "A line that isn't JSON", '{"custom_id" "R-9"}', "not_json", "line 2 (at byte {start}) is not JSON at column 14",
        "Correct the line.",
    ),
    WrongRecord(
        "A ready-made request without `custom_id`", native(None), "no_id", "`custom_id` is missing", "Add one of its own.",
    ),
    WrongRecord(
        "A wrong `url`", native("R-9", url="/v1/chat"), "bad_request", "`url` is `/v1/chat`; the Batch API takes ",
        "Use one of those that the message names.",
    ),
    WrongRecord(
        "`stream: true`", native("R-9", body={"model": "m", "stream": True, "messages": [CANARY]}), "bad_request",
        "`stream` is set", "Leave it out: a batch has no streams.",
    ),
    WrongRecord(
        "No `model`", native("R-9", body={"messages": [CANARY]}), "bad_request", "lacks `model`", "Name one.",
    ),
    WrongRecord(
        "An id that an earlier record has", native("R-1"), "duplicate_id", "an earlier record has the same id",
        "Number them again.",
    ),
    WrongRecord(
        "A line in another provider's format", json.dumps({"recordId": "1", "modelInput": {"prompt": CANARY}}), "foreign_format",
        "Amazon Bedrock", "Write OpenAI's lines.",
    ),
    WrongRecord(
        "A line of a batch's output", json.dumps({"id": "batch_req_1", "custom_id": "R-9", "response": {"body": CANARY}}),
        "bad_request", "line of a batch's output", "Drop the input.",
    ),
    WrongRecord(
        "A record that nests without end", "[" * 501 + "]" * 501, "not_json", "nested deeper than 500 levels, the limit",
        "Make it flatter, or give the inner part as text.",
    ),
    WrongRecord(
        "A record that is an array", json.dumps([CANARY]), "bad_request", "name the file .json", "Name an array's file `.json`.",
    ),
)  # fmt: skip
