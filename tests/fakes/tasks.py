"""Tasks and drops that many tests use: what they ask does not matter, only that they ask it of each record."""

from typing import Final

# A task of reviews, whose items have ids of their own.
RATE: Final = b"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  messages: [{role: user, content: "Rate: {{ review }}"}]
id: review_id
"""
REVIEWS_HEADER: Final = b"review_id,review\r\n"
TWO_REVIEWS: Final = REVIEWS_HEADER + b"r1,good\r\nr2,bad\r\n"

# The shortest task: one column, items called by their rows.
ASK: Final = b"endpoint: /v1/chat/completions\nbody: {model: m, messages: [{role: user, content: '{{ a }}'}]}\n"

# Ready-made requests, which need no task.
SAY_YES: Final = b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Say yes."}]}\n'
THREE_TIMES_YES: Final = SAY_YES * 3
