"""Ticket numbers: OTRS's DateChecksum, its published vectors, and what a person may type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrt import number

# (number, day, system id, counter): the first is that of OTRS's own documentation.
VECTORS = [
    ("2002062310100011", "20020623", "10", 10001),
    ("2026112010000017", "20261120", "10", 1),
    ("2026112010000081", "20261120", "10", 8),
]
# Numbers of real tickets that were cited in public.
PUBLIC = [
    "2008012110017088", "2008021310000886", "2016042410005869", "2016042410005958", "2016093010020885",
    "2022031410007974",
]  # fmt: skip

days = st.dates().map(lambda d: f"{d:%Y%m%d}".zfill(8))
system_ids = st.integers(10, 999).map(str)
counters = st.integers(1, number.LAST_COUNTER)
numbers = st.builds(number.make, days, system_ids, counters)


@pytest.mark.parametrize(("whole", "day", "system_id", "counter"), VECTORS)
def test_vectors(whole: str, day: str, system_id: str, counter: int) -> None:
    assert number.make(day, system_id, counter) == whole
    assert number.is_valid(whole)
    assert (number.system_id(whole), number.counter(whole)) == (system_id, counter)


@pytest.mark.parametrize("whole", PUBLIC)
def test_public_numbers_are_valid(whole: str) -> None:
    assert number.is_valid(whole)
    assert number.make(whole[:8], number.system_id(whole), number.counter(whole)) == whole


def test_check_digit_by_hand() -> None:
    # 2·1 0·2 0·1 2·2 0·1 6·2 2·1 3·2 1·1 0·2 1·1 0·2 0·1 0·2 1·1 = 29; 10 - 9 = 1
    assert number.check_digit("200206231010001") == "1"
    # A sum that ends in 0 gives 10, which is written as 1.
    assert number.check_digit("0") == "1"
    assert number.check_digit("19") == "1"  # 1 + 18 = 19
    assert number.check_digit("18") == "3"  # 1 + 16 = 17
    assert number.check_digit("28") == "2"  # products are added whole: 2 + 16 = 18, not 2 + 1 + 6


@pytest.mark.parametrize("counter", [0, -1, 100_000])
def test_a_day_has_99999_numbers(counter: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        number.make("20261120", "10", counter)
    assert number.make("20261120", "10", 99_999)[-6:-1] == "99999"


def test_folder_has_a_bucket_of_the_counter() -> None:
    assert number.folder("2026112010000081") == "tickets/2026/11/20/000/2026112010000081"
    # Three digits of system id: the bucket is still the first three of the counter.
    whole = number.make("20261120", "123", 45_678)
    assert number.folder(whole) == f"tickets/2026/11/20/456/{whole}"
    assert number.system_id(whole) == "123"


@pytest.mark.parametrize(
    ("typed", "digits"),
    [
        ("2026112010000081", "2026112010000081"),
        (" 2026112010000081 ", "2026112010000081"),
        ("0081", "0081"),
        ("#0081", "0081"),
        ("#2026112010000081", "2026112010000081"),
        ("[Ticket#2026112010000081]", "2026112010000081"),
        ("[ticket#2026112010000081]", "2026112010000081"),
        ("Ticket#2026112010000081", "2026112010000081"),
        ("ticket:2026112010000081", "2026112010000081"),
        ("[Ticket: 2026112010000081]", "2026112010000081"),
    ],
)
def test_what_a_person_may_type(typed: str, digits: str) -> None:
    assert number.parse(typed) == digits


@pytest.mark.parametrize(
    "typed", ["", "81", "081", "info-en", "0081x", "-0081", "+urgent", "2026-11-20", "1" * 18, "0081 0092"]
)
def test_what_is_no_number(typed: str) -> None:
    assert number.parse(typed) is None


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        ("Re: [Ticket#2026112010000081] The bridge", ["2026112010000081"]),
        ("AW: Ticket#2026112010000081", ["2026112010000081"]),
        ("ticket # 2026112010000081", ["2026112010000081"]),
        ("[Ticket#2026112010000081] and [Ticket#2026112010000017]", ["2026112010000081", "2026112010000017"]),
        ("[Ticket#2026112010000082] wrong check digit", []),
        ("2026112010000081 without the word", []),
        ("[Ticket#20261120100000819]", []),  # a longer number does not contain a shorter one
        ("[Ticket#٢٠٢٦١١٢٠١٠٠٠٠٠٨١]", []),  # other digits than ours
        ("Ticket#", []),
    ],
)
def test_numbers_in_a_subject(subject: str, found: list[str]) -> None:
    assert number.in_subject(subject) == found


@given(days, system_ids, counters)
def test_made_numbers_are_valid_and_come_apart(day: str, system_id: str, counter: int) -> None:
    whole = number.make(day, system_id, counter)
    assert number.is_valid(whole)
    assert (whole[:8], number.system_id(whole), number.counter(whole)) == (day, system_id, counter)
    assert number.folder(whole).endswith(f"/{counter // 100:03}/{whole}")
    assert number.in_subject(f"Re: [Ticket#{whole}] x") == [whole] == [number.parse(f"[Ticket#{whole}]")]


@given(numbers, st.data())
def test_a_wrong_check_digit_is_always_seen(whole: str, data: st.DataObject) -> None:
    wrong = data.draw(st.sampled_from([d for d in "0123456789" if d != whole[-1]]))
    assert not number.is_valid(whole[:-1] + wrong)


@given(numbers, st.data())
def test_a_slip_leads_back_to_the_number(whole: str, data: st.DataObject) -> None:
    """One wrong digit or two swapped: the number that was meant is among the near ones."""
    at = data.draw(st.integers(0, len(whole) - 2))
    if data.draw(st.booleans()):
        typed = whole[:at] + whole[at + 1] + whole[at] + whole[at + 2 :]
    else:
        typed = whole[:at] + data.draw(st.sampled_from("0123456789")) + whole[at + 1 :]
    near = number.neighbours(typed)
    assert typed == whole or whole in near
    assert typed not in near and all(number.is_valid(n) for n in near)


@given(st.text())
def test_nothing_typed_is_an_error_here(typed: str) -> None:
    found = number.parse(typed)
    assert found is None or (4 <= len(found) <= 17 and found in typed)
    assert not number.is_valid(typed) or typed.isascii()
    assert all(number.is_valid(n) for n in number.in_subject(typed))
