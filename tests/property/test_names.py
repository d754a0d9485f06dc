import re
from urllib.parse import quote, unquote

from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.model.keys import item_name, item_names, refused_name
from batchdrop.core.model.limits import ITEM_NAME_BYTES_MAX

IDENTIFIERS = (
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
    | st.text("./~%\0\nü", min_size=1, max_size=150)
    | st.text("aZ9-_.", min_size=1, max_size=250)
)


@given(IDENTIFIERS)
def test_a_name_is_one_safe_part_of_a_key(identifier: str) -> None:
    """No name leaves its folder, breaks a key, or is longer than a key has quota for."""
    name = item_name(identifier)

    assert re.fullmatch(r"[A-Za-z0-9_.%~-]+", name)
    assert name.strip(".")
    assert len(name) <= ITEM_NAME_BYTES_MAX


@given(IDENTIFIERS, IDENTIFIERS)
def test_two_identifiers_never_share_a_name(one: str, other: str) -> None:
    """Items of one job never overwrite each other's object."""
    assert (item_name(one) == item_name(other)) == (one == other)


@given(IDENTIFIERS)
def test_a_name_that_was_not_cut_can_be_read_back(identifier: str) -> None:
    """The user finds an id again by decoding the name."""
    name = item_name(identifier)

    assert unquote(name) == identifier or "~" in name


@given(IDENTIFIERS, st.integers(1, 10**9), st.sampled_from(["duplicate", "no-id", "invalid"]))
def test_no_identifier_looks_like_a_refused_item(identifier: str, row: int, reason: str) -> None:
    """A user cannot take, by any id, the name that a failed item is given."""
    taken = {item_name(identifier), item_name(refused_name(row, reason))}

    assert refused_name(row, reason) not in taken


@given(st.text("aZ9-_.", min_size=1, max_size=ITEM_NAME_BYTES_MAX).filter(lambda name: name.strip(".")))
def test_a_safe_identifier_is_its_own_name(identifier: str) -> None:
    """Where nothing has to be escaped, nothing is changed."""
    assert item_name(identifier) == identifier == quote(identifier, safe="")


@given(st.lists(st.text("aZ9_-./% \n~", max_size=4) | st.text(max_size=4) | st.just("x" * 201), max_size=5))
def test_names_of_many_are_those_of_each(identifiers: list[str]) -> None:
    """Looking at all in one go finds the same."""
    assert list(item_names(identifiers)) == list(map(item_name, identifiers))
