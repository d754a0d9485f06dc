"""Batchdrop turns files dropped into a bucket into OpenAI Batch API work, and the answers back into files.

`core` decides (values in, values out), `flow` orders the effects, `edge` performs them, `formats` reads and writes files.
Arrows point inward: `flow` and `edge` know `core`, `core` knows none of them; `tests/unit/test_layout.py` keeps it so.
"""

__version__ = "0.2.0.dev0"  # in each line of the logs; the stack's output and pyproject.toml say the same
