"""The runs in which one call of the provider is refused for good: each call, in each way."""

from collections.abc import Iterator

from simulation.refusals import CROWD, CROWDED, KINDS, STORIES
from simulation.runs import Run


def refusals() -> Iterator[Run]:
    """Yield a run for each call of the provider and each way in which it may be refused for good, the crowd's among them."""
    for call, story in (*STORIES.items(), *((call, CROWD) for call in CROWDED)):
        for kind in KINDS:
            yield Run(story, ((f"http-{call.replace(' ', '-')}:0", kind),), is_for_good=True)
