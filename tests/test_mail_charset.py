"""Bytes of a mail made text."""

from __future__ import annotations

import pytest

from vrt.mail.charset import codec, decode, words

JAPANESE = "こんにちは、世界。これは電子メールです。"
RUSSIAN = "Здравствуйте, у меня есть вопрос о вашей работе."
KOREAN = "안녕하세요 세계"
CHINESE = "你好，世界。这是一封电子邮件。"


@pytest.mark.parametrize(
    ("text", "encoding", "label"),
    [
        ("Grüße", "utf-8", "UTF-8"),
        ("Grüße", "utf-8", "utf8"),
        ("Grüße", "latin-1", "iso-8859-1"),
        ("Grüße", "latin-1", "ISO8859-1"),
        ("“quoted” – 5 €", "cp1252", "iso-8859-1"),
        ("5 €", "iso8859-15", "iso-8859-15"),
        ("Zażółć", "iso8859-2", "iso-8859-2"),
        ("Zażółć", "cp1250", "win-1250"),
        ("שלום", "iso8859-8", "iso-8859-8-i"),
        ("İstanbul", "cp1254", "iso-8859-9"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (RUSSIAN, "cp1251", "windows-1251"),
        ("สวัสดี", "cp874", "windows-874"),
        ("สวัสดี", "cp874", "tis-620"),
        (JAPANESE, "cp932", "x-sjis"),
        (JAPANESE, "cp932", "Shift_JIS"),
        (JAPANESE, "euc_jp", "x-euc-jp"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp"),
        (KOREAN, "cp949", "ks_c_5601-1987"),
        (KOREAN, "iso2022_kr", "iso-2022-kr"),
        (CHINESE, "gb18030", "gb2312"),
        ("鎔", "gb18030", "gb2312"),
        (CHINESE, "hz", "hz-gb-2312"),
        ("你好世界", "gbk", "x-gbk"),
        ("世界", "big5", "Big5"),
        ("Grüße €", "utf-7", "utf-7"),
        ("Grüße €", "utf-7", "unicode-1-1-utf-7"),
        ("Grüße", "utf-16", "utf-16"),
        ("Grüße", "mac-roman", "x-mac-roman"),
        ("plain", "ascii", "ansi_x3.4-1968"),
    ],
)
def test_declared_charsets(text: str, encoding: str, label: str) -> None:
    assert decode(text.encode(encoding), label) == (text, "")


def test_japanese_with_the_characters_of_vendors() -> None:
    assert decode(b"\x1b$B-!F|K\\\x1b(B ok", "iso-2022-jp") == ("①日本 ok", "")


NO_CHARSETS = """
rot13 hex zip bz2 base64 uu quopri idna punycode unicode_escape raw_unicode_escape undefined mbcs charmap
os ../x utf-8\0 \u0661 nosuch iso-8859-99 x- utf-8/x
"""


@pytest.mark.parametrize("label", ["", "x" * 1000, "\n", *NO_CHARSETS.split()])
def test_names_that_are_no_charset(label: str) -> None:
    assert codec(label) == ""


def test_unknown_charset_is_said() -> None:
    assert decode(b"abc", "rot13") == ("abc", "unknown charset")
    assert decode("Grüße".encode(), "x-nosuch") == ("Grüße", "unknown charset")


@pytest.mark.parametrize("label", ["us-ascii", "iso-2022-jp", "euc-kr"])
def test_a_declared_charset_that_does_not_fit_is_passed_over(label: str) -> None:
    assert decode("Größenänderung – ja".encode(), label) == ("Größenänderung – ja", "charset wrong")


def test_ascii_label_on_windows_text() -> None:
    assert decode("5 € – gut".encode("cp1252"), "us-ascii") == ("5 € – gut", "charset wrong")


@pytest.mark.parametrize("label", ["", "unknown-8bit", "x-unknown"])
def test_undeclared(label: str) -> None:
    assert decode("Grüße".encode(), label) == ("Grüße", "")
    assert decode("Grüße".encode("cp1252"), label) == ("Grüße", "charset guessed")
    assert decode(JAPANESE.encode("iso2022_jp"), label) == (JAPANESE, "")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE * 3, "cp932"),
        ("Die Größe übertrifft Erwartungen. " * 9, "cp1252"),
    ],
)
def test_guesses(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == (text, "charset guessed")


def test_nothing_but_valid_text_comes_out() -> None:
    for data in (b"\0", b"\xff" * 50, b"+2AA-", b"\xed\xa0\x80", bytes(range(256))):
        for label in ("", "utf-7", "utf-16", "iso-8859-1", "cp1252", "utf-32", "ascii", "hz", "gb2312"):
            text, _ = decode(data, label)
            text.encode()
            assert "\0" not in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?UTF-8?b?R3LDvMOfZQ==?=", "Grüße"),
        ("=?iso-8859-1*de?Q?Gr=FC=DFe_?= x", "Grüße  x"),
        ("=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"),
        ("=?utf-8?Q?a?=\r\n =?utf-8?Q?b?= c", "ab c"),
        ("=?utf-8?Q?Gr=C3?= =?utf-8?Q?=BC=C3=9Fe?=", "Grüße"),
        ("=?utf-8?B?R3LD?= =?utf-8?B?vMOfZQ==?=", "Grüße"),
        ("=?utf-8?B?R3L?= =?utf-8?B?DvMOfZQ==?=", "Grüße"),
        ("=?utf-8?Q?a?= =?iso-8859-1?Q?=FC?=", "aü"),
        ("=?utf-8?B?R3LDvMOfZQ?=", "Grüße"),
        ("=?nosuch?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?us-ascii?Q?Gr=FC=DFe?=", "Grüße"),
        ("=?utf-8?Q?with space?=", "with space"),
        ("=?iso-8859-1?Q?Grüße?=", "Grüße"),
        ("=?utf-8?X?odd?=", "=?utf-8?X?odd?="),
        ("=?utf-8?Q?open", "=?utf-8?Q?open"),
        ("a=?utf-8?Q?b?=c", "abc"),
        ("=?gb2312?B?xOO6ww==?=", "你好"),
        ("=?iso-2022-jp?B?GyRCJDMbKEI=?= =?iso-2022-jp?B?GyRCJHMbKEI=?=", "こん"),
        ("=?utf-8?Q??=", ""),
    ],
)
def test_encoded_words(value: str, expected: str) -> None:
    assert words(value) == expected


@pytest.mark.parametrize("piece", ["=?", "=?a?b?", "=?utf-8?b?A?= ", "=?utf-8?q?=?= ", "?=", "=?x?q?" + "y" * 50])
def test_hostile_words(piece: str) -> None:
    assert isinstance(words(piece * 50_000), str)
