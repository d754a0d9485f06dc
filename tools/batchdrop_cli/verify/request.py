"""What `verify-provider` and `verify-aws` ask of a model, and how much of it: known before anything long is imported."""

MODEL = "gpt-4.1-nano"  # the cheapest chat model of the bundled prices
REQUEST_TOKENS = 60  # more than the request below has bytes for
ANSWER_TOKENS = 16
CREATES_MAX = 6  # one that runs, one that is cancelled, four of a deleted file
