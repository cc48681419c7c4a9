"""What in the text of a mail is quoted history, and what is signature.

For display only, where such blocks are folded; nothing is removed. Knows nothing of mails and
needs no library. Goes over the lines once, with patterns applied to short lines only, so that
its time is linear in the length of any text.

Where the marks are not plain the text counts as the sender's own: to fold too little is a
nuisance, to fold what somebody wrote for us to read is a fault.
"""

from __future__ import annotations

import re
from itertools import groupby

TEXT, QUOTE, SIGNATURE = "text", "quote", "signature"
_LONGEST = 400  # characters; no line of a mail program's making is longer

# "wrote" in: en de fr es it nl pt pl sv/da/no fi cs ru uk ja zh ko
_WROTE = re.compile(
    r"\b(?:wrote|writes|schrieb|a écrit|ecrit|escribió|escribio|ha scritto|schreef|geschreven|escreveu|"
    r"napisała?|napisał\(a\)|pisze|skrev|skrifaði|kirjoitti|napsala?|napsal\(a\)|написала?|написал\(а\)|"
    r"пишет|писал|написав|написала|пише)\b|のメール|は書きました|さんの(?:返信|メッセージ)|写道|寫道|작성|님이 쓴 글",
    re.IGNORECASE,
)
# How the line before a quotation begins, where it does not begin with a date or a name.
_STARTS = re.compile(r"(?:on|am|le|el|il|op|em|no dia|w dniu|dnia|den|på|dne|в|на|在|于|於)\s", re.IGNORECASE)
_DATE_FIRST = re.compile(r"\W{0,2}(?:\d{1,4}[-./]\s?\d|\d{1,2}\.? \w{3,12}\.? \d{4}|\d{4}\s?[年년])")
_DATED = re.compile(r"\d{4}|\d{1,2}[:.]\d\d")
_ZOHO = re.compile(r"-{2,} ?.{1,300} wrote ?-{2,}$", re.IGNORECASE)
_BARE_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}\s.{0,300}<[^<>]*@[^<>]*>:?$")

_ORIGINAL = re.compile(
    r"[-_—]{2,}\s*(?:original message|original appointment|ursprüngliche nachricht|original-?nachricht|"
    r"message d['’]origine|message original|mensaje original|messaggio originale|oorspronkelijk bericht|"
    r"mensagem original|wiadomość oryginalna|oryginalna wiadomość|ursprungligt meddelande|original ?meddelande|"
    r"oprindelig meddelelse|oprindelig besked|opprinnelig melding|alkuperäinen viesti|původní zpráva|"
    r"исходное сообщение|оригинал сообщения|元のメッセージ|original message|原始邮件|原始郵件|"
    r"원본 메[시세]지)\s*[-_—]{2,}",
    re.IGNORECASE,
)
_FORWARDED = re.compile(
    r"(?:-{2,}\s*)?(?:begin forwarded message|forwarded message|weitergeleitete nachricht|"
    r"anfang der weitergeleiteten nachricht|message transféré|début du message (?:transféré|réexpédié)|"
    r"mensaje reenviado|inicio del mensaje reenviado|messaggio inoltrato|inizio messaggio inoltrato|"
    r"doorgestuurd bericht|begin doorgestuurd bericht|mensagem (?:encaminhada|reencaminhada)|"
    r"wiadomość przekazana dalej|przekazana wiadomość|vidarebefordrat meddelande|videresendt (?:besked|melding)|"
    r"edelleenlähetetty viesti|přeposlaná zpráva|пересылаемое сообщение|転送メッセージ|转发的邮件|전달된 메시지)"
    r"\s*(?:-{2,}|:)$",
    re.IGNORECASE,
)
# The fields of a header that Outlook and others put above the mail that is answered.
_FROM = re.compile(
    r"[*_]{0,2}(?:from|von|de|da|van|från|fra|lähettäjä|od|от|от кого|差出人|发件人|發件人|寄件者|보낸 ?사람)"
    r"[*_]{0,2}\s?[:：]",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"[*_]{0,2}(?:sent|date|to|cc|subject|reply-to|gesendet|datum|an|betreff|envoyé|date|à|a|objet|enviado(?: el)?|"
    r"enviada(?: em)?|fecha|data|para|asunto|assunto|inviato|oggetto|verzonden|aan|onderwerp|skickat|till|ämne|sendt|"
    r"til|emne|lähetetty|päivämäärä|vastaanottaja|aihe|wysłano|do|temat|odesláno|komu|předmět|отправлено|дата|кому|"
    r"тема|送信日時|日付|宛先|件名|发送时间|日期|收件人|抄送|主题|發送時間|收件者|主旨|보낸 ?날짜|날짜|받는 ?사람|제목)"
    r"[*_]{0,2}\s?[:：]",
    re.IGNORECASE,
)
_RULE = re.compile(r"_{10,}$|-{20,}$")
_LIST_FOOTER = re.compile(r"_{40,}$")

_DEVICE = re.compile(
    r"[(<\[]{0,3}(?:sent from |\w{1,20} from mobile$|from my (?:iphone|ipad|android|phone|mobile)\b|"
    r"sent (?:via|with|using) (?:\S+ ?){1,4}$|(?<=[(<\[])sent by |"
    r"get \[?outlook for |von meinem .{1,40} gesendet|diese nachricht wurde von meinem .{1,60} gesendet|"
    r"gesendet (?:von|mit|über|aus) |envoyé (?:de|depuis|à partir) |enviado (?:desde|do|de|a partir) (?:mi|meu|o|my)\b|"
    r"inviato (?:da|dal) |verzonden (?:met|vanaf|via|vanuit) |wysłan[eo] (?:z|za) |skickat från |sendt fra |"
    r"lähetetty .{1,40}(?:sta|stä|lla|llä|lta|ltä)\b|odesláno (?:z|ze) |отправлено (?:с|из) |надіслано з |"
    r"從我的 .{1,40} ?傳送|发自我的|發自我的|从我的|從我的|傳送自|iphoneから送信|.{1,20}에서 (?:보냄|전송|보내))",
    re.IGNORECASE,
)
_EXCUSE = re.compile(r"excuse|typo|brief|brevity", re.IGNORECASE)


def blocks(body: str) -> list[tuple[str, str]]:
    """Return ``body`` in blocks, each ("text" | "quote" | "signature", its part of ``body``).

    The parts joined are ``body`` exactly. A body in which the sender wrote nothing outside of
    quotations (a forwarded mail, say) is one text.
    """
    lines = body.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    kinds = [TEXT] * len(lines)
    _mark_quotes(lines, kinds)
    _mark_signatures(lines, kinds)
    if not any(kind == TEXT and line.strip() for kind, line in zip(kinds, lines, strict=True)):
        return [(TEXT, body)] if body else []
    runs = groupby(zip(kinds, lines, strict=True), key=lambda pair: pair[0])
    return [(kind, "".join(line for _, line in run)) for kind, run in runs]


def _mark_quotes(lines: list[str], kinds: list[str]) -> None:
    at = 0
    while at < len(lines):
        if _begins_history(lines, at):
            kinds[at:] = [QUOTE] * (len(lines) - at)
            return
        start = _attribution(lines, kinds, at)
        if start is None and not lines[at].lstrip().startswith(">"):
            at += 1
            continue
        first = at if start is None else start
        after = at if start is None else _skip_blank(lines, at + 1)
        end = _quoted_until(lines, after, start is not None)
        if end == after:  # no marks at the lines: the whole rest is quoted, if the line before it is that of a program
            if "@" not in "".join(lines[first : at + 1]):
                at += 1
                continue
            end = len(lines)
        kinds[first:end] = [QUOTE] * (end - first)
        at = end


def _begins_history(lines: list[str], at: int) -> bool:
    """Say whether the rest of the mail from this line on is an earlier one with its header."""
    line = lines[at].strip()
    if not line or len(line) > _LONGEST:
        return False
    if _RULE.match(line):
        at = _skip_blank(lines, at + 1)
        return at < len(lines) and _is_header(lines, at)
    return bool(_ORIGINAL.match(line) or _FORWARDED.match(line) or _ZOHO.match(line)) or _is_header(lines, at)


def _is_header(lines: list[str], at: int) -> bool:
    """Say whether a From line and at least two other fields stand here, close together."""
    if not _FROM.match(lines[at].lstrip()):
        return False
    near = [line.lstrip() for line in lines[at + 1 : at + 9]]
    for number, line in enumerate(near):
        if not line.strip():
            near = near[:number]
            break
    return sum(1 for line in near if _FIELD.match(line)) >= 2


def _attribution(lines: list[str], kinds: list[str], at: int) -> int | None:
    """Return the first line of an "On … wrote:" that ends at ``at``, None if there is none."""
    line = lines[at].strip()
    if len(line) > _LONGEST or line.startswith(">"):
        return None
    if _BARE_DATE.match(line) and lines[min(_skip_blank(lines, at + 1), len(lines) - 1)][:1] in "|>":
        return at
    if not line.endswith((":", "：")):
        return None
    after = _skip_blank(lines, at + 1)
    verbless = line.endswith(">:") and after < len(lines) and lines[after].startswith(">")
    start = None
    joined = ""
    for first in range(at, max(-1, at - 4), -1):
        line = lines[first].strip()
        if not line or len(line) > _LONGEST or kinds[first] != TEXT:
            break
        joined = f"{line} {joined}"
        begins = bool(_STARTS.match(line) or _DATE_FIRST.match(line))
        if start is not None:
            return first if begins and not line.endswith((".", "!", "?", ":")) else start
        if _WROTE.search(joined) and ("@" in joined or _DATED.search(joined)):
            if begins:
                return first
            start = first
        elif verbless and "@" in joined and _DATED.search(joined):
            return first
    return start


def _quoted_until(lines: list[str], at: int, attributed: bool) -> int:
    """Return the end of the lines from ``at`` on that are marked as quoted, and of the blank ones among them."""
    marks = (">", "|") if attributed and at < len(lines) and lines[at].startswith("|") else (">",)
    end = at
    while at < len(lines):
        line = lines[at].lstrip()
        if line.startswith(marks):
            end = at + 1
        elif line:
            break
        at += 1
    return at if end < at and end else end


def _skip_blank(lines: list[str], at: int) -> int:
    while at < len(lines) and not lines[at].strip():
        at += 1
    return at


def _mark_signatures(lines: list[str], kinds: list[str]) -> None:
    """Mark the signatures in each run of the sender's own lines."""
    end = len(lines)
    while end:
        start = end - 1
        while start and kinds[start - 1] == kinds[end - 1]:
            start -= 1
        if kinds[end - 1] == TEXT:
            _mark_signature(lines, kinds, start, end)
        end = start


def _mark_signature(lines: list[str], kinds: list[str], start: int, end: int) -> None:
    first = _delimiter(lines, start, end)
    stop = end if first is None else first
    for at in range(stop - 1, start - 1, -1):
        if _is_device(lines[at].strip()):
            first = at
        elif lines[at].strip():
            break
    if first is not None:
        kinds[first:end] = [SIGNATURE] * (end - first)


def _delimiter(lines: list[str], start: int, end: int) -> int | None:
    """Return the line that the signature of this run begins with (RFC 3676 section 4.3), None if there is none."""
    for at in range(start, end):
        line = lines[at].rstrip("\r\n")
        if line == "-- ":
            return at
        if end - at <= 20 and (line.rstrip() in ("--", "—") or _LIST_FOOTER.match(line.rstrip())):
            return at
    return None


def _is_device(line: str) -> bool:
    """Say whether a line is what a telephone or program adds by itself."""
    if not 0 < len(line) <= 120 or not _DEVICE.match(line):
        return False
    # "Sent from my desk, which …" may be a sentence.
    return not line.lower().startswith("sent from") or len(line.split()) <= 9 or bool(_EXCUSE.search(line))
