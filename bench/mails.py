"""Made-up mail for measuring: the same mails for the same seed, on every machine.

Like the mail of a volunteer response team in what costs time: languages and charsets, sizes, transfer
encodings, HTML alternatives, attachments, long headers, and follow-ups that quote. The words are partly real
and mostly made of syllables, in the frequencies of real text. No sentence here was written by a person.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import gzip
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path

START = 1_704_672_000  # 2024-01-08 00:00 UTC, a Monday
DOMAIN = "example.org"
PHRASE = "with kind regards"  # at the end of most English mails
COMMON = "please"  # in nearly every English mail
SIZES = (2700, 0.70, 400, 15_000)  # bytes of text: median, sigma of the logarithm, least, most


@dataclass(frozen=True)
class Made:
    """A mail: bytes (``\\n`` line ends), when it came (epoch seconds), whether it begins a ticket, its own word."""

    raw: bytes
    time: int
    fresh: bool
    token: str


@dataclass(frozen=True)
class _Language:
    code: str
    weight: float
    charsets: tuple[tuple[str, float], ...]
    common: str
    syllables: str
    names: str
    hello: str
    bye: str
    apart: str = " "  # between words
    stop: str = "."


_LANGUAGES = [
    _Language(
        "en", 40, (("utf-8", 7), ("us-ascii", 2), ("iso-8859-1", 1), ("windows-1252", 1)),
        "the of and to a in is that I you for it was on are with as be this have from article page photo my name "
        "please not by or at would image your which been licence we remove one has permission use she he they can "
        "will information wrong about website there more when who published author copyright book museum year",
        "con ter per ing ment tion re de pro ex am bel cor dis en fal gra hol im jun kel lum mar nor os pre qua "
        "ris sol tam un ver wil yar zen ble ful ness ly est ard ock ine ume",
        "Ann Baker,James Cole,Mary Dunn,Oliver Finch,Grace Hill,Peter Marsh,Susan Reed,Tom Yates,Alice Wood,Ben "
        "Stone",
        "Dear volunteers,", f"Thank you, {PHRASE}",
    ),
    _Language(
        "de", 14, (("utf-8", 5), ("iso-8859-1", 2), ("iso-8859-15", 1), ("windows-1252", 1)),
        "der die und das in zu den ist nicht mit von sie für auf ich dem ein eine es wird des auch Artikel Seite "
        "Bild bitte über nach haben wurde können Lizenz Erlaubnis löschen falsch Angaben Urheber veröffentlicht "
        "Museum Straße",
        "ver ge be ent zer ung heit keit lich isch haft ig bau fahr gut haus jahr klar licht mann nach recht "
        "schaft tag wert zug ober unter vor über größ münz straß",
        "Jürgen Müller,Käthe Groß,Anja Vogt,Uwe Köhler,Heike Schäfer,Lars Böhm,Ines Weiß,Ralf Jäger",
        "Sehr geehrte Damen und Herren,", "Mit freundlichen Grüßen",
    ),
    _Language(
        "fr", 9, (("utf-8", 4), ("iso-8859-1", 3), ("windows-1252", 1)),
        "le la les de des et à un une en que est pour dans qui sur avec ce pas plus par page article image merci "
        "été être votre licence droit auteur photographie supprimer publiée à propos année musée déjà",
        "con mer tion ment eur elle ade oir ant ique age ler dé pré ré sur par chan bou fré gné lé mai nou pla "
        "qué ron tré vou",
        "Élodie Lefèvre,Hervé Noël,Chloé Girard,Benoît Dubois,Inès Marchand,Gérard Petit",
        "Bonjour,", "Bien cordialement,",
    ),
    _Language(
        "es", 8, (("utf-8", 4), ("iso-8859-1", 2), ("windows-1252", 1)),
        "el la los las de que y en un una es por con para no se su artículo página imagen gracias más también "
        "autor licencia información está año derechos según fotografía museo publicación",
        "ción mente dad aje oso ero con des pre tra bar cal dor esp fer gan luz mar nue per que rra sol tier vez "
        "ñar",
        "José Núñez,María Peña,Íñigo Ibáñez,Lucía Gómez,Andrés Muñoz,Belén Ortiz",
        "Buenos días:", "Un cordial saludo",
    ),
    _Language(
        "pl", 5, (("utf-8", 3), ("iso-8859-2", 2), ("windows-1250", 1)),
        "i w na z się nie do jest że to za o po jak ale od artykuł strona zdjęcie proszę licencja autor także "
        "który błąd usunąć prawa książka już może być",
        "prze nie wy po za ść ość nik cza dzia gło kła łaz mię noś prą rzy sze trzy wią źró żeg owa eni",
        "Łukasz Wójcik,Żaneta Kowalska,Grażyna Dąbrowska,Paweł Zieliński,Michał Lis",
        "Dzień dobry,", "Z poważaniem",
    ),
    _Language(
        "ru", 8, (("utf-8", 4), ("koi8-r", 2), ("windows-1251", 3)),
        "и в не на я что с по это как а но к у за из статья страница фотография пожалуйста лицензия автор права "
        "удалить ошибка также который было есть год музей книга",
        "про пере вы до за ние ость тель ство на раз бор вод год дел жив зна лов мир нос пол рук сто тру уча ход "
        "чит шаг",
        "Анна Иванова,Пётр Соколов,Ольга Щукина,Юрий Ёлкин,Вера Жукова",
        "Здравствуйте!", "С уважением,",
    ),
    _Language(
        "ja", 7, (("utf-8", 3), ("iso-2022-jp", 4), ("shift_jis", 1)),
        "の に は を た が で て と し れ さ ある いる も する から な こと として 記事 写真 著作権 許可 お願い "
        "編集 削除 情報 美術館 本 年 掲載",
        "学 校 会 社 出 版 東 京 都 市 山 川 田 中 大 小 高 橋 新 聞 画 像 作 者 名 前 内 容 訂 正 使 用 条 件 公 "
        "開 日 本 語",
        "山田 太郎,佐藤 花子,高橋 健一,田中 美咲",
        "ご担当者様", "よろしくお願いいたします", "", "。",
    ),
    _Language(
        "zh", 6, (("utf-8", 4), ("gb2312", 2), ("gb18030", 1)),
        "的 是 在 了 和 有 我 不 这 他 为 上 个 条目 图片 版权 授权 请 删除 信息 错误 作者 网站 博物馆 书 年 发布 "
        "使用",
        "中 国 人 大 学 新 文 化 北 京 上 海 电 影 公 司 出 版 社 历 史 地 方 研 究 技 术 城 市 名 字 内 容 发 现 "
        "问 题 编 辑",
        "王小明,李娜,张伟,陈静",
        "您好：", "此致敬礼", "", "。",
    ),
    _Language(
        "ar", 3, (("utf-8", 3), ("windows-1256", 1)),
        "في من على إلى أن هذا التي الذي مع عن كان لا ما المقال الصفحة الصورة رخصة المؤلف حذف معلومات خطأ شكرا "
        "كتاب متحف سنة",
        "ال مس تر بح كت عل در سف جم رق نو حق فص طب قل شر دي ون ات ين",
        "أحمد حسن,فاطمة علي,ليلى سعيد",
        "السلام عليكم،", "مع التحية",
    ),
]  # fmt: skip

_QUEUES = ("info-en", "info-de", "permissions-en", "info-other")
ADDRESSES = {queue: f"{queue}@{DOMAIN}" for queue in _QUEUES}
_HOSTS = [f"mail{i}.example.{end}" for i in range(40) for end in ("com", "net")]
_AGENTS = [
    "Mozilla Thunderbird",
    "Apple Mail (2.3774.300.61)",
    "Microsoft Outlook 16.0",
    "Roundcube Webmail/1.6.5",
    "K-9",
]
_TYPES = [
    ("image/jpeg", "jpg", False), ("application/pdf", "pdf", False), ("image/png", "png", False),
    ("application/msword", "doc", True), ("text/csv", "csv", True), ("text/plain", "txt", True),
]  # fmt: skip


class _Words:
    """The vocabulary of a language as sentences made beforehand, with the frequencies of real text (Zipf)."""

    def __init__(self, language: _Language, seed: int) -> None:
        rng = random.Random(f"{seed} {language.code}")
        self.language = language
        head, parts = language.common.split(), language.syllables.split()
        longest = 3 if language.apart else 2
        tail = {"".join(rng.choices(parts, k=rng.randint(1 + bool(language.apart), longest))) for _ in range(9000)}
        words = head + sorted(tail - set(head), key=lambda w: (len(w), w))[:6000]
        weights = list(accumulate(1 / (rank + 2.7) for rank in range(len(words))))
        self.rare = words[len(words) // 3 :]
        self.sentences = [self._sentence(rng, words, weights) for _ in range(4000)]

    def _sentence(self, rng: random.Random, words: list[str], weights: list[float]) -> str:
        chosen = rng.choices(words, cum_weights=weights, k=rng.randint(5, 22))
        text = self.language.apart.join(chosen)
        return text[:1].upper() + text[1:] + self.language.stop


@dataclass
class _Thread:
    """A conversation that a later mail may continue."""

    words: _Words
    sender: tuple[str, str]
    charset: str
    queue: str
    subject: str
    ids: list[str]
    text: str


class _Maker:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.languages = [_Words(language, seed) for language in _LANGUAGES]
        self.weights = list(accumulate(language.weight for language in _LANGUAGES))
        self.recent: list[_Thread] = []
        self.prose = " ".join(self.languages[0].sentences).encode()

    def make(self, when: int, number: int) -> Made:
        rng = self.rng
        token = f"zq{number:06d}{rng.choice('bcdfghk')}"
        follow = bool(self.recent) and rng.random() < 0.25
        thread = rng.choice(self.recent) if follow else self._thread(token)
        text = self._text(thread, token, quoting=follow)
        sender_host = rng.choice(_HOSTS)
        own_id = f"<{rng.getrandbits(80):020x}@{sender_host}>"
        fields = self._fields(thread, own_id, sender_host, when, follow)
        raw = fields + self._content(thread, text)
        thread.ids.append(own_id)
        thread.text = text
        if not follow:
            self.recent.append(thread)
            if len(self.recent) > 900:
                del self.recent[rng.randrange(300)]
        return Made(raw, when, not follow, token)

    def _thread(self, token: str) -> _Thread:
        rng = self.rng
        words = rng.choices(self.languages, cum_weights=self.weights)[0]
        language = words.language
        charset = rng.choices(*map(list, zip(*language.charsets, strict=True)))[0]
        name = rng.choice(language.names.split(","))
        address = f"{token[2:8]}.{rng.choice('abcdefgh')}{rng.randrange(1000)}@{rng.choice(_HOSTS).partition('.')[2]}"
        queue = {"en": rng.choice(("info-en", "permissions-en")), "de": "info-de"}.get(language.code, "info-other")
        subject = language.apart.join(rng.choice(words.sentences).rstrip(".。").split(" ")[: rng.randint(2, 7)])[:70]
        return _Thread(words, (name, address), charset, queue, subject, [], "")

    def _text(self, thread: _Thread, token: str, *, quoting: bool) -> str:
        rng, words = self.rng, thread.words
        median, sigma, least, most = SIZES
        size = min(most, max(least, int(median * rng.lognormvariate(0, sigma))))
        quoted = ""
        if quoting:
            lines = [f"> {line}" for line in thread.text.split("\n")]
            quoted = f"\n\n{thread.sender[0]} <{thread.sender[1]}>:\n" + "\n".join(lines)
            size = max(200, size // 3)
        each = len(words.sentences[0].encode()) / len(words.sentences[0])  # bytes a character
        paragraphs, paragraph, used = [], [f"{token} {rng.choice(words.rare)} {rng.choice(words.rare)}"], 0
        while used < size:
            sentence = rng.choice(words.sentences)
            used += int(len(sentence) * each) + 1
            paragraph.append(sentence)
            if rng.random() < 0.2:
                paragraphs.append(_wrapped(words.language.apart.join(paragraph), words.language.apart))
                paragraph = []
        paragraphs.append(_wrapped(words.language.apart.join(paragraph), words.language.apart))
        bye = f"{words.language.bye}\n{thread.sender[0]}"
        return "\n\n".join([words.language.hello, *paragraphs, bye])[: most * 2] + quoted[: most - 1]

    # --- RFC 5322 -----------------------------------------------------------------------------------

    def _fields(self, thread: _Thread, own_id: str, host: str, when: int, follow: bool) -> bytes:
        rng = self.rng
        date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(when))
        name, address = thread.sender
        rows = [f"Return-Path: <{address}>", f"Delivered-To: {ADDRESSES[thread.queue]}"]
        rows += [
            f"Received: from {at} ({at} [192.0.2.{rng.randrange(256)}])\n\tby mx{i}.{DOMAIN} (Postfix) with ESMTPS id "
            f"{rng.getrandbits(48):012X}\n\tfor <{ADDRESSES[thread.queue]}>; {date}"
            for i, at in enumerate(rng.sample(_HOSTS, rng.randint(1, 4)))
        ]
        if rng.random() < 0.7:
            key = base64.b64encode(rng.randbytes(256)).decode()
            rows.append(
                f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={host}; s=k1;\n\tt={when}; "
                f"h=from:to:subject:date:message-id;\n\tbh={base64.b64encode(rng.randbytes(32)).decode()};\n\tb="
                + "\n\t ".join(key[i : i + 68] for i in range(0, len(key), 68))
            )
            rows.append(
                f"Authentication-Results: mx.{DOMAIN}; dkim=pass header.d={host};\n\tspf=pass smtp.mailfrom={address}"
            )
        rows.append(f"Date: {date}")
        rows.append(f"From: {_encoded(name, thread.charset)} <{address}>")
        rows.append(f"To: {ADDRESSES[thread.queue]}")
        if rng.random() < 0.15:
            rows.append(f"Cc: office@{host}, {_encoded(name, thread.charset)} <second.{address}>")
        rows.append(f"Subject: {'Re: ' if follow else ''}{_encoded(thread.subject, thread.charset)}")
        rows.append(f"Message-ID: {own_id}")
        if follow:
            rows.append(f"In-Reply-To: {thread.ids[-1]}")
            rows.append("References: " + "\n ".join(thread.ids[-12:]))
        rows += [
            f"User-Agent: {rng.choice(_AGENTS)}",
            f"X-Spam-Status: No, score={rng.uniform(-3, 3):.1f} required=5.0",
        ]
        return ("\n".join(rows) + "\nMIME-Version: 1.0\n").encode()

    def _content(self, thread: _Thread, text: str) -> bytes:
        rng = self.rng
        parts = [_part("text/plain", text, thread.charset)]
        if rng.random() < 0.2:
            parts.append(_part("text/html", _html(text, rng), thread.charset))
            parts = [_multipart("alternative", parts, f"{rng.getrandbits(64):016x}")]
        if rng.random() < 0.1:
            parts += [self._attachment() for _ in range(rng.choice((1, 1, 1, 2)))]
            parts = [_multipart("mixed", parts, f"{rng.getrandbits(64):016x}")]
        return parts[0]

    def _attachment(self) -> bytes:
        rng = self.rng
        kind, ending, compressible = rng.choice(_TYPES)
        size = int(5000 * 12 ** rng.random())  # 5 to 60 kB
        start = rng.randrange(max(1, len(self.prose) - size))
        data = self.prose[start : start + size] if compressible else rng.randbytes(size)
        name = f"{rng.choice(self.languages[0].rare)}-{rng.randrange(1000)}.{ending}"
        head = f'Content-Type: {kind}; name="{name}"\nContent-Disposition: attachment; filename="{name}"\n'
        return f"{head}Content-Transfer-Encoding: base64\n\n".encode() + base64.encodebytes(data)


def _wrapped(text: str, apart: str) -> str:
    if not apart:
        return "\n".join(text[i : i + 36] for i in range(0, len(text), 36))
    return re.sub(r"(.{1,74})(?: |$)", r"\1\n", text).rstrip("\n")


def _bytes(text: str, charset: str) -> bytes:
    return text.encode(charset, "replace")


def _encoded(text: str, charset: str) -> str:
    """Return ``text`` as it stands in a header: encoded words (RFC 2047) where it is not ASCII."""
    if text.isascii():
        return text
    pieces = [text[i : i + 12] for i in range(0, len(text), 12)]
    return "\n ".join(f"=?{charset}?B?{base64.b64encode(_bytes(p, charset)).decode()}?=" for p in pieces)


def _part(kind: str, text: str, charset: str) -> bytes:
    data = _bytes(text + "\n", charset)
    if data.isascii():
        encoding = "7bit"
    elif data.count(b"=") + sum(byte > 127 for byte in data[:600]) > 150:
        encoding, data = "base64", base64.encodebytes(data)
    else:
        encoding, data = "quoted-printable", binascii.b2a_qp(data, istext=True)
    return f"Content-Type: {kind}; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n".encode() + data


def _multipart(kind: str, parts: list[bytes], boundary: str) -> bytes:
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n'.encode()
    mark = f"--{boundary}".encode()
    return head + b"".join(mark + b"\n" + part + b"\n" for part in parts) + mark + b"--\n"


def _html(text: str, rng: random.Random) -> str:
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    paragraphs = (f'<p style="margin:0 0 12px 0;font-family:Arial">{p}</p>' for p in safe.split("\n\n"))
    link = (
        f'<p><a href="https://www.example.com/{rng.getrandbits(40):x}">example.com</a> <b>{rng.randrange(999)}</b></p>'
    )
    style = "<style>p{line-height:1.4}td{padding:2px}</style>"
    return (
        f"<html><head>{style}</head><body><div>\n"
        + "\n".join(paragraphs).replace("\n", "<br>\n")
        + link
        + "</div></body></html>"
    )


# --- streams of mails -------------------------------------------------------------------------------


def stream(seed: int = 1, start: int = START) -> Iterator[Made]:
    """Yield mails without end: 200 to 400 a day from ``start`` on, a quarter of them follow-ups."""
    maker, number, day = _Maker(seed), 0, start
    while True:
        today = maker.rng.randint(200, 400)
        for i in range(today):
            yield maker.make(day + i * 86400 // today, number)
            number += 1
        day += 86400


def count(mails: int, seed: int = 1) -> Iterator[Made]:
    """Yield the first ``mails`` of ``stream``."""
    return islice(stream(seed), mails)


def tickets(wanted: int, seed: int = 1) -> Iterator[Made]:
    """Yield mails that make ``wanted`` tickets, follow-ups included."""
    born = 0
    for made in stream(seed):
        if made.fresh and born == wanted:
            return
        born += made.fresh
        yield made


_FROM = re.compile(rb"^(>*From )", re.MULTILINE)


def write_mbox(path: Path, mails: Iterable[Made]) -> tuple[int, int, int]:
    """Write ``mails`` as an mbox (mboxrd); return how many, their bytes, and the sum of the gzip of each."""
    many = size = packed = 0
    with path.open("wb") as file:
        for made in mails:
            many, size, packed = many + 1, size + len(made.raw), packed + len(gzip.compress(made.raw, 6, mtime=0))
            file.write(b"From sender@example.com " + time.asctime(time.gmtime(made.time)).encode() + b"\n")
            file.write(_FROM.sub(rb">\1", made.raw) + (b"\n" if made.raw.endswith(b"\n") else b"\n\n"))
    return many, size, packed


def main() -> None:
    """``mails.py COUNT FILE [--seed N]``: write an mbox."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    many, size, packed = write_mbox(given.file, count(given.count, given.seed))
    print(f"{many:,} mails, {size:,} bytes, {packed:,} when each is gzipped", file=sys.stderr)


if __name__ == "__main__":
    main()
