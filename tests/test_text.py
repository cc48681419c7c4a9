"""Foreign text made safe: for a terminal, for one line, for a file name, for the search index."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vrt import text

# Everything that could move the cursor, change the terminal, reorder or hide text.
C0 = [chr(c) for c in range(0x20) if chr(c) not in "\n\t"]
C1 = [chr(c) for c in range(0x7F, 0xA0)]
BIDI = list("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
HIDDEN = list("\u00ad\u180e\u200b\u2028\u2029\u2060\u2061\u206a\u206f\ufeff\ufff9\U000e0001\U000e0041")
UNSAFE = [*C0, *C1, *BIDI, *HIDDEN]

hostile = st.text(
    st.one_of(st.characters(), st.sampled_from([*UNSAFE, "\n", "\t", "\r", "\\", "/", ".", "-", " ", ":"]))
)


@pytest.mark.parametrize("char", UNSAFE, ids=lambda c: f"U+{ord(c):04X}")
def test_what_drives_a_terminal_or_hides_is_written_as_an_escape(char: str) -> None:
    shown = text.shown(f"a{char}b")
    assert shown.isprintable() and shown.startswith("a\\") and shown.endswith("b")
    assert f"{ord(char):x}" in shown
    assert text.line(f"a{char}b") == shown


def test_escapes_are_readable() -> None:
    assert text.shown("\x1b]52;c;cm0gLXJm\x07") == "\\x1b]52;c;cm0gLXJm\\x07"
    assert text.shown("invoice\u202efdp.exe") == "invoice\\u202efdp.exe"
    assert text.shown("\x9b31m") == "\\x9b31m"
    assert text.shown("a\U000e0041b") == "a\\U000e0041b"
    assert text.shown("lone \udc80 surrogate") == "lone \\udc80 surrogate"


def test_newlines_and_tabs_stay_in_a_body_and_go_from_a_line() -> None:
    assert text.shown("one\r\ntwo\n\tthree") == "one\ntwo\n\tthree"
    assert text.line("one\r\ntwo\n\tthree") == "one two  three"
    # A carriage return alone would let the second half overwrite the first.
    assert text.shown("To: bob\rTo: eve") == "To: bob\\x0dTo: eve"


@pytest.mark.parametrize(
    "plain",
    [
        "Łódź",
        "著作権について",
        "می‌خواهم",
        "नमस्ते",
        "שלום",
        "مرحبا",
        "👩‍👩‍👧",
        "👍🏽",
        "e\u0301",
        "naïve – “quoted”",
        "€ 12,50",
    ],
)
def test_the_world_s_writing_stays(plain: str) -> None:
    assert text.shown(plain) == text.line(plain) == plain


@given(hostile)
@example("\r\r\n")
def test_nothing_unsafe_comes_through(given: str) -> None:
    shown, line = text.shown(given), text.line(given)
    assert not set(shown) & set(UNSAFE) and not set(line) & {*UNSAFE, "\n", "\t"}
    shown.encode(), line.encode()  # valid Unicode
    assert all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in line)
    assert text.shown(shown) == shown and text.line(line) == line


@pytest.mark.parametrize(
    ("given", "cells"), [("abc", 3), ("äöü", 3), ("著作権", 6), ("e\u0301", 1), ("ｱ", 1), ("a\u200db", 2), ("", 0)]
)
def test_width_in_terminal_cells(given: str, cells: int) -> None:
    assert text.width(given) == cells


def test_clip_and_pad() -> None:
    assert text.clip("a long subject", 6) == "a lon…"
    assert text.clip("fits", 4) == "fits"
    assert text.clip("著作権について", 6) == "著作…"  # a wide character is never cut in half
    assert text.pad("著作", 6) == "著作  "
    assert text.pad("too long", 3) == "too long"


@given(st.text(), st.integers(1, 40))
def test_clipped_text_fits(given: str, cells: int) -> None:
    assert text.width(text.clip(given, cells)) <= cells


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.jpg", "photo.jpg"),
        ("Foto von Łódź (1).jpg", "Foto von Łódź (1).jpg"),
        ("著作権.pdf", "著作権.pdf"),
        ("../../etc/passwd", "passwd"),
        ("/etc/cron.d/x", "x"),
        ("..\\..\\windows\\system32\\x.dll", "x.dll"),
        ("C:\\x.exe", "x.exe"),
        ("..", "unnamed"),
        (".", "unnamed"),
        ("", "unnamed"),
        ("/", "unnamed"),
        ("dir/", "unnamed"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("LPT1.tar.gz", "_LPT1.tar.gz"),
        ("console.txt", "console.txt"),
        ("a:b*c?d.txt", "a_b_c_d.txt"),
        ("trailing. . .", "trailing"),
        ("a\x1b[2Jb.txt", "a[2Jb.txt"),
        ("exe\u202egpj.scr", "exegpj.scr"),
        ("a\nb\tc.txt", "abc.txt"),
        ("a\0b", "ab"),
    ],
)
def test_file_names(name: str, safe: str) -> None:
    assert text.filename(name) == safe


def test_long_file_names_keep_their_ending() -> None:
    long = text.filename("ü" * 300 + ".pdf")
    assert long.endswith("ü.pdf") and 170 < len(long.encode()) <= 180
    assert text.filename("", "part-1.png") == "part-1.png"


@given(hostile)
@example("a.b\x85.")
def test_a_file_name_is_one_harmless_name(name: str) -> None:
    safe = text.filename(name)
    assert safe and not set(safe) & {*UNSAFE, *'<>:"|?*/\\\n\t'}
    assert safe[0] not in ".-"
    assert len(safe.encode()) <= 190  # with a number added it still fits into 255


@given(hostile)
@example("- .x")
@example("-. x")
@example("x" * 179 + " and more")
@example("x" * 179 + ". and more")
def test_a_file_name_has_clean_ends(name: str) -> None:
    """Windows drops dots and spaces at the end, and a name that begins with a space is easily overlooked."""
    safe = text.filename(name)
    assert safe == safe.strip(" .")
    assert text.filename(safe) == safe


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        ("ÄRGER", "arger"),
        ("Straße", "STRASSE"),
        ("Łódź", "łódz"),
        ("ΜΟΥΣΕΊΟ", "μουσειο"),
        ("ｆｕｌｌｗｉｄｔｈ", "fullwidth"),
        ("Résumé", "resume"),
        ("Re\u0301sume\u0301", "RÉSUMÉ"),
        ("ﬁle", "file"),
        ("Ёлка", "елка"),
        ("İstanbul", "istanbul"),
        ("ガイド", "ｶﾞｲﾄﾞ"),
        ("ﾌﾞﾘｯｼﾞ", "ブリッジ"),
    ],
)
def test_case_accents_and_forms_do_not_matter(written: str, typed: str) -> None:
    assert text.fold(written).split() == text.fold(typed).split()


def test_scripts_without_spaces_are_cut_into_characters() -> None:
    assert text.fold("著作権Free").split() == ["著", "作", "権", "free"]
    assert text.fold("저작권").split() == ["저", "작", "권"]
    assert text.fold("ลิขสิทธิ์")[0] == " "


@given(st.text())
@example("𝕱𝖗𝖊𝖊")
def test_folding_twice_changes_nothing(given: str) -> None:
    once = text.fold(given)
    assert text.fold(once).split() == once.split()
