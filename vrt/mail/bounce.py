"""Delivery reports: whether a mail is one, about whom, and about which message.

Knows a mail as it was read, and its raw parts; nothing of tickets, and not whether the message was
ours. Pure, and bounded: whatever the size of a mail, only its beginning is looked at.

Reports of the standard kind (RFC 3464, RFC 8098) are known by their parts. The many others are
weighed: who sent it (an empty envelope sender, a mail system's name) against what it says (the
subject, the words, a status code, a returned message). A person who forwards or quotes a report has
a sender of his own, so none of the words in it count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from typing import NamedTuple

from vrt.mail import charset, header, signs
from vrt.mail.parse import Mail, attachments, fields_of

MAX_RECIPIENTS = 100
MAX_IDS = 50
MAX_REASON = 300  # characters
_MAX_RAW = 512 << 10  # bytes of a mail that are taken apart; a report comes before the message it returns
_MAX_TOLD = 20_000  # characters of its text that are searched for what it says
_MAX_TEXT = 100_000  # characters of its text, and of each part, that are searched for ids and fields


class Report(NamedTuple):
    """What a delivery report says.

    ``kind``: ``failed``, ``delayed`` or ``delivered`` (also relayed, expanded, read: the message is
    somewhere). ``recipients``: the addresses it is about, at most ``MAX_RECIPIENTS``. ``status``: as in RFC
    3463 (``5.1.1``), "" if none is given. ``reason``: one line for people, at most ``MAX_REASON``
    characters. ``message_ids``: what may be the Message-ID of the message reported on, without
    ``<>``, likely first, at most ``MAX_IDS``.
    """

    kind: str
    recipients: tuple[str, ...]
    status: str
    reason: str
    message_ids: tuple[str, ...]


def read(raw: bytes, fields: Sequence[tuple[str, bytes]], mail: Mail) -> Report | None:
    """Return what ``mail`` reports of a delivery, None if it is no delivery report. Never raises.

    ``fields`` are those of its header as ``vrt.mail.header.split`` gives them. A complaint (a feedback
    report, RFC 5965) is None: it says that a message arrived and was not liked, and is for people.
    """
    try:
        return _read(raw, fields, mail)
    except Exception:  # a bug of ours; the mail is to come in as any other
        return None


# --- who sent it ---


def _needed(fields: Sequence[tuple[str, bytes]], mail: Mail) -> int:
    """Return how much a mail from this sender must say to be a report; 0: it is none, whatever it says."""
    path = signs.envelope_sender(fields)
    nobody = path is not None and (not path or bool(signs.MAIL_SYSTEM.fullmatch(signs.local_part(path))))
    if any("@" in value for value in signs.values(fields, "x-failed-recipients")):  # Exim, Gmail
        return 3
    if not mail.from_:
        return (3 if nobody else 5) if any(name == "from" for name, _ in fields) else 0
    local, name = signs.local_part(mail.from_[0].address), mail.from_[0].name.strip().lower()[:200]
    if signs.MAIL_SYSTEM.fullmatch(local) or (signs.MAIL_SYSTEM.fullmatch(name) and not local):
        return 3
    if signs.POSTMASTER.fullmatch(local) or signs.SYSTEM_NAME.search(name) or not local:
        return 3 if nobody else 5
    if signs.OFFICE_NAME.search(name) or signs.unread(local):
        return 4 if nobody else 0
    return 5 if nobody else 0


# --- what it says ---


def _status_code(text: str) -> str:
    match = _ENHANCED.search(text)
    return match[1] if match else ""


_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")  # RFC 3463 section 2
_REPLY_CODE = re.compile(r"(?:^|[:>\[(] ?|code ?:?)(?:4[25]\d|5[025]\d)[ \-.]", re.MULTILINE)  # RFC 5321 section 4.2
_HEADER_LINE = re.compile(
    r"[ >|]{0,8}(?:received|return-path|message-?id|from|to|subject|date|reply-to|mime-version|dkim-signature|"
    r"content-type|x-mailer|mail from|rcpt to)\s?:",
    re.IGNORECASE,
)
_MARKER = re.compile(
    r"\W{0,40}(?:original message|this is a copy of|below (?:this line )?is a copy|unsent message|returned message|"
    r"message headers? follow|(?:the )?headers? of the original|original (?:message )?headers?|your original message|"
    r"start of (?:the )?returned message|-{2,}\s?returned)",
    re.IGNORECASE,
)


def _told(body: str) -> tuple[str, bool]:
    """Return the text of a report before what it returns, without quoted lines, and whether a message is returned.

    What it returns begins with a line that says so, or with three lines of a header near each other.
    """
    lines = body[:_MAX_TOLD].split("\n")
    near: list[int] = []  # lines of a header, of the last few
    for i, line in enumerate(lines):
        if _HEADER_LINE.match(line[:200]):
            near = [at for at in near if at > i - 12] + [i]
            if len(near) == 3:
                return _unquoted(lines[: near[0]]), True
        elif len(line) < 200 and _MARKER.match(line):
            rest = lines[i + 1 : i + 40]
            return _unquoted(lines[:i]), any(_HEADER_LINE.match(later[:200]) for later in rest)
    return _unquoted(lines), False


def _unquoted(lines: list[str]) -> str:
    """Return the lines that are not quoted; ">>> " is how mail systems show their side of a talk."""
    return "\n".join(line for line in lines if line.startswith(">>> ") or not line.lstrip().startswith((">", "|")))


def _is_one(needed: int, mail: Mail, told: str, returned: bool) -> bool:
    """Return whether a mail that has not the form of a report is one."""
    subject = mail.subject.strip().lower()[:1000]
    types = {a.type for a in mail.attachments}
    if signs.AWAY.match(subject) and not types & _STATUS:
        return False
    if needed == 5 and _ASKS.search(told):
        return False
    said = [signs.SAYS.search(subject) and not signs.ANSWERED.match(subject), signs.SAYS.search(told.lower())]
    weight = (0, 2, 3)[sum(map(bool, said))]
    weight += 1 if _ENHANCED.search(told) or _REPLY_CODE.search(told) else 0
    weight += 2 if returned or types & _RETURNED else 0
    weight += 3 if types & _STATUS else 0
    return weight >= needed


_ASKS = re.compile(r"[?？؟](?:\s|$)")  # what people do, and mail systems do not


# --- its parts ---

_STATUS = {"message/delivery-status", "message/global-delivery-status"}
_READ = {"message/disposition-notification", "message/global-disposition-notification"}
_RETURNED = {
    *("message/rfc822", "message/global", "text/rfc822-headers", "text/rfc822-header"),
    *("message/rfc822-headers", "message/global-headers", "message/partial"),
}
_COMPLAINT = "message/feedback-report"
_GROUP_FIELD = re.compile(r"([a-z][a-z-]{2,40})\s?:(.{0,2000})", re.IGNORECASE)


def _groups(text: str) -> list[dict[str, str]]:
    """Return the groups of fields of a delivery-status part (RFC 3464 section 2.1), those of a recipient only."""
    groups: list[dict[str, str]] = [{}]
    last = ""
    for line in text[:_MAX_TEXT].splitlines():
        if not line.strip():
            last = ""
            if groups[-1]:
                groups.append({})
        elif line[0] in " \t" and last:
            groups[-1][last] = (groups[-1][last] + " " + line.strip())[:2000]
        elif match := _GROUP_FIELD.match(line):
            last = match[1].lower()
            groups[-1].setdefault(last, match[2].strip())
    return [group for group in groups if not _RECIPIENT.isdisjoint(group)][:1000]


_RECIPIENT = {"action", "final-recipient", "original-recipient", "status", "disposition"}
_ACTIONS = {"fail": "failed", "dela": "delayed", "deli": "delivered", "rela": "delivered", "expa": "delivered"}


def _kind_of(group: dict[str, str]) -> str:
    """Return what one group says, "" if it does not."""
    kind = _ACTIONS.get(group.get("action", "").lower()[:4], "")
    return kind or {"5": "failed", "2": "delivered"}.get(group.get("status", "")[:1], "")


def _kind_told(subject: str, told: str) -> str:
    """Return the kind of a report by its words."""
    if signs.GONE_WELL.search(subject):
        return "delivered"
    put_off = signs.PUT_OFF.search(subject) or (signs.PUT_OFF.search(told) and not signs.GIVEN_UP.search(told))
    return "delayed" if put_off else "failed"


def _read(raw: bytes, fields: Sequence[tuple[str, bytes]], mail: Mail) -> Report | None:
    types = {a.type for a in mail.attachments}
    top, parameters = header.parameters(next(iter(signs.values(fields, "content-type")), ""))
    standard = top == "multipart/report" and not types.isdisjoint(_STATUS | _READ)
    declared = top == "multipart/report" and parameters.get("report-type", "").lower() == "delivery-status"
    needed = 2 if declared else _needed(fields, mail)  # what a person writes never has that type
    if _COMPLAINT in types or not (standard or needed):
        return None
    told, returned = _told(mail.body)
    if not standard and not _is_one(needed, mail, told, returned):
        return None
    raw = raw[:_MAX_RAW]
    parts = [(a.type, content) for a, content in attachments(raw)]
    groups = [g for type_, content in parts if type_ in _STATUS for g in _groups(charset.decode(content)[0])]
    groups = groups or [g for g in _groups(mail.body) if "action" in g or "final-recipient" in g]
    notices = [g for type_, content in parts if type_ in _READ for g in _groups(charset.decode(content)[0])]
    kinds = {_kind_of(group) for group in groups} - {""}
    kind = next((k for k in ("failed", "delayed", "delivered") if k in kinds), "")
    if not kind:
        kind = "delivered" if notices else _kind_told(mail.subject.lower()[:1000], told.lower())
    about = [g for g in groups if _kind_of(g) in (kind, "")] or notices
    status, reason = _why(about, told, mail.subject)
    ids = _ids(raw, parts, groups + notices, mail)
    return Report(kind, _recipients(about, fields, mail, told), status, reason, ids)


def _why(about: list[dict[str, str]], told: str, subject: str) -> tuple[str, str]:
    """Return the status and the reason: those of the first recipient, else of the line with a code in it."""
    status = next((code for g in about if (code := _status_code(g.get("status", "")))), "")
    reason = next((g["diagnostic-code"] for g in about if g.get("diagnostic-code")), "")
    type_, semi, text = reason.partition(";")
    if semi and " " not in type_.strip():
        reason = text
    said = _said(told)
    if not status or status.endswith(".0.0"):  # the code of "undefined": the text often knows better
        exact = _status_code(reason) or _status_code(said)
        status = exact if exact and exact[0] != "2" else status
    return status, _line(reason or said or subject)[:MAX_REASON].rstrip()


def _said(told: str) -> str:
    """Return the lines of a report that give the reason: from the first with a code, else under the first address."""
    lines = told.split("\n")
    at = next((i for i, line in enumerate(lines) if _ENHANCED.search(line) or _REPLY_CODE.search(line)), None)
    if at is None:
        at = next((i + 1 for i, line in enumerate(lines) if _AT_START.match(line)), None)
    if at is None or not "".join(lines[at : at + 1]).strip():
        at = next((i for i, line in enumerate(lines) if signs.SAYS.search(line.lower())), len(lines))
    return " ".join(takewhile(str.strip, lines[at : at + 4]))


_CONTROLS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


def _line(text: str) -> str:
    return _CONTROLS.sub(" ", charset.clean(text[: 10 * MAX_REASON])).strip()


_ADDRESS = re.compile(r"[^\s<>()\[\]{},;:\"'@=]{1,100}@[^\s<>()\[\]{},;:\"'@/=]{1,255}")
_AT_START = re.compile(r"[\s<\[(\"'*-]{0,12}[^\s<>()\[\]{},;:\"'@=]{1,100}@")


def _recipients(
    about: list[dict[str, str]], fields: Sequence[tuple[str, bytes]], mail: Mail, told: str
) -> tuple[str, ...]:
    """Return whom the report is about: the addresses as we wrote them, where it says so (RFC 3464 section 2.3.1)."""
    named = [next((a for n in _NAMES if (a := _bare(g.get(n, "")))), "") for g in about]
    if not any(named):
        named = [m[0] for v in signs.values(fields, "x-failed-recipients") for m in _ADDRESS.finditer(v)]
    if not any(named):
        ours = {a.address.lower() for a in (*mail.to, *mail.cc, *mail.from_)}
        lines = [line[:1000] for line in told.split("\n") if "@" in line]
        lines = [line for line in lines if _AT_START.match(line)] or lines
        found = (m[0].strip(".") for line in lines[: 2 * MAX_RECIPIENTS] for m in _ADDRESS.finditer(line))
        named = [a for a in found if a.lower() not in ours]
    return tuple(dict.fromkeys(a for a in named if a and a.isprintable()))[:MAX_RECIPIENTS]


_NAMES = ("original-recipient", "final-recipient", "x-actual-recipient")


def _bare(value: str) -> str:
    """Return the address in a value as ``rfc822; <a@example.org>``."""
    match = _ADDRESS.search(value.partition(";")[2] or value)
    return match[0] if match else ""


_IN_TEXT = re.compile(
    r"^[ \t>|]{0,8}(?:x-original-)?message-?id[ \t]?:\s{0,8}(?:<([^<>\s]{1,500})>|([^<>\s@]{1,250}@[^<>\s]{1,250}))",
    re.IGNORECASE | re.MULTILINE,
)


def _ids(raw: bytes, parts: list[tuple[str, bytes]], groups: list[dict[str, str]], mail: Mail) -> tuple[str, ...]:
    """Return what may be the id of the message reported on: from what is returned, what is said, what is answered."""
    found = [i for type_, content in parts if type_ in _RETURNED for i in _returned_ids(content)]
    found += [g[n].strip("<> ") for g in groups for n in ("original-message-id", "x-original-message-id") if n in g]
    texts = [content for type_, content in parts if type_.startswith("text/")]
    found += _in_text(mail.body) + [i for text in texts for i in _in_text(text[:_MAX_TEXT].decode("utf-8", "replace"))]
    if not found:  # in a part that is not where it should be
        found = _in_text(raw.partition(b"\n\n" if b"\n\n" in raw else b"\r\n\r\n")[2].decode("utf-8", "replace"))
    found += [*mail.in_reply_to, *reversed(mail.references)]
    return tuple(dict.fromkeys(i for i in found if i and i.isprintable()))[:MAX_IDS]


def _in_text(text: str) -> list[str]:
    return [match[1] or match[2] for match in islice(_IN_TEXT.finditer(text[:_MAX_TEXT]), MAX_IDS)]


def _returned_ids(content: bytes, wrapped: bool = False) -> Iterator[str]:
    """Yield the Message-ID of a returned message or header, and what a report returned within a report returns."""
    fields = fields_of(content[:_MAX_TEXT].lstrip(b"\r\n"))
    yield from header.Reader([f for f in fields if f[0] == "message-id"], "", set()).ids("message-id")
    if not wrapped and any(name == "content-type" and b"multipart/report" in value.lower() for name, value in fields):
        inner = (part for a, part in attachments(content) if a.type in _RETURNED)
        for part in islice(inner, MAX_IDS):
            yield from _returned_ids(part, wrapped=True)
