"""Bytes of a mail made text: transfer encodings, charsets, encoded words.

Knows nothing of headers, parts or the rest of vrt. Nothing here raises on any input, every
text returned is valid Unicode without lone surrogates and without NUL, and every scan is
linear. Sole user of charset-normalizer.
"""

from __future__ import annotations

import binascii
import codecs
import re
from functools import lru_cache

from vrt.mail.limits import MAX_TEXT

# Labels that Python does not know or knows as something narrower than what is sent under them
# (https://encoding.spec.whatwg.org/#names-and-labels).
_ALIASES = {
    "ansi_x3.4-1968": "ascii",
    "big5": "big5hkscs",
    "cn-gb": "gb18030",
    "euc-kr": "cp949",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-6-e": "iso8859_6",
    "iso-8859-6-i": "iso8859_6",
    "iso-8859-8-e": "iso8859_8",
    "iso-8859-8-i": "iso8859_8",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "koi8": "koi8_r",
    "ks_c_5601-1987": "cp949",
    "ksc5601": "cp949",
    "logical": "iso8859_8",
    "macintosh": "mac_roman",
    "mac": "mac_roman",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "tis-620": "cp874",
    "unicode-1-1-utf-7": "utf_7",
    "unicode-1-1-utf-8": "utf_8",
    "usascii": "ascii",
    "utf8": "utf_8",
    "utf8mb4": "utf_8",
    "utf-8": "utf_8",
    "visual": "iso8859_8",
    "windows-31j": "cp932",
}
# Labels by which a sender says that the charset is not known (RFC 1428).
_UNDECLARED = {"", "unknown", "unknown-8bit", "x-unknown", "8bit", "default", "none"}
# Python's text codecs that are no charsets: escapes, domain names, the locale's code page.
_NO_CHARSET = {"charmap", "idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
_LABEL = re.compile(r"[a-z0-9][a-z0-9._:+ ()-]{0,39}")
_ISO = re.compile(r"(?:x-)?iso[-_ ]?8859[-_ ]?(\d\d?)(?::\d+)?")
_PAGE = re.compile(r"(?:x-)?(?:windows|win|cp|ms|ibm)[-_ ]?(\d{3,5})")

# windows-1252 as the web reads it: the five undefined bytes are the C1 controls.
_WINDOWS_1252 = "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in range(256))
# What mail without a usable label is in, likely first. Few, so that a guess is quick and sane.
_GUESSES = ["cp1252", "cp1251", "koi8_r", "cp1250", "cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1253", "cp1254"]
_GUESSES += ["cp1255", "cp1256", "iso8859_2", "cp866", "cp874"]
_HIGH = re.compile(rb"[\x80-\xff]")
_BAD = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """Return ``text`` with U+FFFD in place of NUL and lone surrogates."""
    return _BAD.sub("\ufffd", text)


@lru_cache(maxsize=256)
def codec(label: str) -> str:
    """Return the name of the Python codec for a charset label of a mail, "" if there is none.

    Never names a codec that is no charset, such as ``rot13``, ``zip`` or ``unicode_escape``.
    """
    label = label.strip(" \t\"';").lower()
    if not _LABEL.fullmatch(label):
        return ""
    name = _ALIASES.get(label) or _ALIASES.get(label.removeprefix("x-")) or _by_number(label) or label
    for candidate in (name, name.removeprefix("x-")):
        try:
            info = codecs.lookup(candidate)
        except Exception:  # lookup imports a module by this name: a LookupError is not all that it raises
            continue
        if getattr(info, "_is_text_encoding", False) and info.name.replace("_", "-") not in _NO_CHARSET:
            return info.name
    return ""


def _by_number(label: str) -> str:
    if match := _ISO.fullmatch(label):
        return _ALIASES.get(f"iso-8859-{match[1]}", f"iso8859_{match[1]}")
    if match := _PAGE.fullmatch(label):
        return {"936": "gb18030", "65001": "utf_8"}.get(match[1], f"cp{match[1]}")
    return ""


def decode(data: bytes, label: str = "", most: int = MAX_TEXT) -> tuple[str, str]:
    """Return ``data``, at most ``most`` bytes of it, as text, and what was wrong with ``label`` (a defect, or "").

    Order: the declared charset, the 7-bit Japanese and Korean codes (by their escapes), UTF-8,
    a guess, windows-1252 with replacement. A declared charset that fails strictly is passed over.
    """
    if len(data) > most:
        data = _shortened(data, most, label)
    declared = "" if label.strip().lower() in _UNDECLARED else label
    name = codec(declared) if declared else ""
    defect = "unknown charset" if declared and not name else ""
    if name and (text := _strictly(data, name)) is not None:
        return text, ""
    if name:
        defect = "charset wrong"
    if not declared and data[:2] in (b"\xff\xfe", b"\xfe\xff") and (text := _strictly(data, "utf-16")) is not None:
        return text, ""
    if not declared and b"\x1b$" in data:
        for escaped in ("iso2022_jp_ext", "iso2022_kr"):
            if (text := _strictly(data, escaped)) is not None:
                return text, defect
    if (text := _strictly(data, "utf-8")) is not None:
        return text, defect
    return _guessed(data), defect or "charset guessed"


def _shortened(data: bytes, most: int, label: str) -> bytes:
    """Return at most ``most`` bytes of ``data``, cut where it does no harm: between lines or characters."""
    wide = "16" in label or "32" in label
    end = most & ~3 if wide else data.rfind(b"\n", most - 10_000, most) + 1 or most
    if wide or data[end - 1] < 0x80:
        return data[:end]
    while end > most - 4 and 0x80 <= data[end] < 0xC0:  # the rest of a character in UTF-8
        end -= 1
    return data[:end]


def _strictly(data: bytes, name: str) -> str | None:
    """Return ``data`` decoded by the codec ``name``, None if any of it does not fit."""
    if name in ("iso8859-1", "cp1252"):
        return clean(codecs.charmap_decode(data, "strict", _WINDOWS_1252)[0])
    try:
        text = data.decode(name)
        text.encode()  # some codecs (utf-7, utf-16 of other makers) let lone surrogates through
    except Exception:
        if name == "big5hkscs":
            return _strictly(data, "cp950")
        return _windows_jis(data) if name.startswith("iso2022_jp") else None
    return text.removeprefix("\ufeff").replace("\x00", "\ufffd")


def _windows_jis(data: bytes) -> str | None:
    """Return ISO-2022-JP with the vendors' characters in it (circled digits ...), None if it is not that.

    Python has no codec for it (CP50220); each JIS pair is the Shift_JIS pair of CP932.
    """
    if not data.isascii():
        return None
    out = bytearray()
    double = False
    for piece in re.split(rb"(\x1b(?:\$[@B]|\([BJI]|\$\([DO]))", data):
        if piece[:1] == b"\x1b":
            if piece in (b"\x1b(I", b"\x1b$(D", b"\x1b$(O"):
                return None
            double = piece[1:2] == b"$"
        elif double:
            out += _shifted(piece)
        else:
            out += piece
    try:
        return out.decode("cp932").replace("\x00", "\ufffd")
    except UnicodeDecodeError:
        return None


def _shifted(jis: bytes) -> bytes:
    """Return a run of JIS X 0208 pairs as Shift_JIS pairs; line ends inside stay as they are."""
    out, i = bytearray(), 0
    while i < len(jis):
        high, low = jis[i], jis[i + 1] if i + 1 < len(jis) else 0
        if high < 0x21 or low < 0x21:
            out.append(high)
            i += 1
            continue
        out.append((high + 1) // 2 + (0x70 if high < 0x5F else 0xB0))
        out.append(low + 0x7E if high % 2 == 0 else low + (0x1F if low < 0x60 else 0x20))
        i += 2
    return bytes(out)


def _guessed(data: bytes) -> str:
    """Return ``data``, which is no UTF-8, in the charset that it most likely is."""
    # A few letters with accents are too little to go by, and nearly always western.
    if sum(1 for _ in zip(range(8), _HIGH.finditer(data), strict=False)) == 8:
        try:
            import charset_normalizer

            best = charset_normalizer.from_bytes(_sample(data), cp_isolation=_GUESSES, threshold=0.3).best()
            text = _strictly(data, best.encoding) if best else None
        except Exception:  # a guess that fails is no guess
            text = None
        if text is not None:
            return text
    return clean(data.decode("cp1252", "replace"))


def _sample(data: bytes) -> bytes:
    """Return up to 4 kB of the lines of ``data`` that are not ASCII: a guess needs no more."""
    start = _HIGH.search(data).start()  # type: ignore[union-attr]
    lines = data[max(0, start - 500) : start + 20_000].splitlines(keepends=True)
    return b"".join(line for line in lines if not line.isascii())[:4000] or data[start : start + 4000]


_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_"))
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BASE64_PIECE = re.compile(rb"[^=]+")


def base64(data: bytes) -> tuple[bytes, bool]:
    """Return base64 ``data`` decoded as far as it can be, and whether it was sound (RFC 2045 section 6.8).

    Several padded pieces one after another are all decoded. What is plainly no base64 is
    returned as it is.
    """
    packed = data.translate(None, b" \t\r\n\x0b\x0c")
    try:
        return binascii.a2b_base64(packed, strict_mode=True), True
    except binascii.Error:
        pass
    spaces = data.strip().count(b" ")
    if spaces * 20 > len(packed):  # words with spaces between them
        return data, False
    out = bytearray()
    for match in _BASE64_PIECE.finditer(packed.translate(_URL_SAFE, _NOT_BASE64)):
        piece = match[0][: -1 if len(match[0]) % 4 == 1 else None]
        out += binascii.a2b_base64(piece + b"=" * (-len(piece) % 4))
    return bytes(out) if out or not packed else data, False


def uuencoded(data: bytes) -> tuple[bytes, bool]:
    """Return uuencoded ``data`` decoded as far as it can be, and whether it was sound."""
    begin = _UU_BEGIN.search(data)
    if begin is None:
        return data, False
    out, sound = bytearray(), False
    for match in _UU_LINE.finditer(data, begin.end()):
        line = match[0]
        if line.strip() == b"end":
            sound = True
            break
        size = (line[0] - 32) & 63  # bytes in this line, as its first character says
        try:
            # Garbage may trail; of a line that is too short only what stands in it counts, not the zeros for the rest.
            out += binascii.a2b_uu(line[: 1 + (size + 2) // 3 * 4])[: (len(line) - 1) * 3 // 4 + 2]
        except binascii.Error:
            return bytes(out) or data, False
    return bytes(out), sound


_UU_BEGIN = re.compile(rb"^begin [^\r\n]*|(?<=\r)begin [^\r\n]*", re.MULTILINE)
_UU_LINE = re.compile(rb"[^\r\n]+")


# RFC 2047 section 2, with the spaces inside that some senders leave.
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")


def words(text: str) -> str:
    """Return a header value with its encoded words decoded (RFC 2047), wherever they stand.

    Adjacent words join before they are decoded, so that a character split between two of them
    is whole. Bad ones are decoded as well as possible.
    """
    if "=?" not in text:
        return clean(text)
    out: list[str] = []
    run: list[tuple[str, str, str]] = []
    end = 0
    for match in _WORD.finditer(text):
        gap = text[end : match.start()]
        if not run or gap.strip(" \t\r\n"):
            out += [_decode_run(run), gap]
            run = []
        run.append((match[1].split("*")[0].lower(), match[2].lower(), match[3]))
        end = match.end()
    out += [_decode_run(run), text[end:]]
    return clean("".join(out))


def _decode_run(run: list[tuple[str, str, str]]) -> str:
    """Return adjacent encoded words (charset, encoding, text) decoded."""
    out: list[str] = []
    data, charset, waiting = b"", "", b""
    for label, encoding, text in run:
        if label != charset:
            out.append(decode(data + base64(waiting)[0], charset)[0])
            data, charset, waiting = b"", label, b""
        raw = _in_charset(text, label)
        if encoding == "q":
            data += base64(waiting)[0] + binascii.a2b_qp(raw, header=True)
            waiting = b""
            continue
        waiting += raw.replace(b" ", b"")
        # Some senders cut the base64 anywhere: what is no whole quad waits for the next word.
        if len(waiting) % 4 == 0 or b"=" in waiting:
            data, waiting = data + base64(waiting)[0], b""
    out.append(decode(data + base64(waiting)[0], charset)[0])
    return "".join(out)


def _in_charset(text: str, label: str) -> bytes:
    """Return the inside of an encoded word as bytes; letters that should have been encoded are in its charset."""
    if not text.isascii() and (name := codec(label)):
        try:
            return text.encode(name)
        except UnicodeError:
            pass
    return text.encode("utf-8", "replace")
