"""An article as the terminal shows it."""

from __future__ import annotations

from typing import Any

from vrt import output
from vrt.mail import quote
from vrt.storage.index import Article
from vrt.text import line, shown

FOLD_FROM = 4  # lines of a quotation from which it is folded
_LABELS = {"receive": "mail", "moved": "mail", "auto-reply": "automatic reply", "approve": "reply, approved",
           "failed": "delivery report"}  # fmt: skip
_OURS = ("auto-reply", "reply", "forward", "approve", "redirect", "draft")


def article(said: Article, full: bool, sealed: str = "sealed: no key") -> list[str]:
    """Return the lines of an article: who, when, what is known of it, its text, its files; of one that is not open
    ``sealed`` is what is said.
    """
    event, front = said.event, said.front
    when = output.clock(event.time)
    if front is None:
        return ["", output.paint(f"── {event.action} · {when} · {event.id[-8:]} · ({sealed})", "cyan")]
    label = _LABELS.get(event.action, event.action)
    if "Internal" in event.trailers:
        label = "INTERNAL mail"
    elif event.trailers.get("Kind") == "forward":
        label = "forward, approved" if event.action == "approve" else f"{label} of a forward"
    by = f"by {event.agent}"
    if label.endswith("mail"):
        by = f"from {people(front, 'from') or f'nobody named (received by {event.agent})'}"
    rows = [
        "",
        output.paint(f"── {label} {by} · {when} · {event.id[-8:]}", "cyan"),
        *_head(said, front, label.endswith("mail")),
        "",
    ]
    rows += _body(said.body or "", full)
    for i, file in enumerate(front.get("attachments") or [], 1):
        name, type_ = line(str(file.get("name") or "(unnamed)")), line(str(file.get("type")))
        rows.append(output.paint(f"   [{i}] {name}  {type_}, {output.size(int(file.get('size') or 0))}", "yellow"))
    if front.get("defects"):
        rows.append(output.paint(f"   Defects: {line(', '.join(map(str, front['defects'])))}", "dim"))
    return rows


def _head(said: Article, front: dict[str, Any], is_mail: bool) -> list[str]:
    """Return what stands between the first line of an article and its text."""
    rows = []
    if not is_mail and people(front, "from"):
        rows.append(f"   From: {people(front, 'from')}")
    for name, title in (("to", "To"), ("cc", "Cc"), ("bcc", "Bcc"), ("reply_to", "Reply-To")):
        if people(front, name):
            rows.append(output.paint(f"   {title}: {people(front, name)}", "dim"))
    written = _epoch(str(front.get("date") or ""))
    if is_mail and written and abs(written - said.event.time) > 86400:
        rows.append(output.paint(f"   Date: {output.clock(int(written))}", "dim"))
    if front.get("subject") and ("Follow-Up" in said.event.trailers or said.event.action in _OURS):
        rows.append(output.paint(f"   Subject: {line(str(front['subject']))}", "dim"))
    if front.get("authentication"):
        from vrt.mail.evidence import lines

        rows += [output.paint(f"   {line(text)}", "yellow") for text in lines(front["authentication"])]
    if said.event.action == "failed" and front.get("recipient"):
        rows.append(output.paint(f"   Refused: {line(str(front['recipient']))}", "yellow"))
    if isinstance(front.get("report"), dict):
        rows.append(output.paint(f"   Delivery {delivery(front['report'])}", "yellow"))
    return rows


def delivery(report: dict[str, Any]) -> str:
    """Return what a delivery report says: of whom, and why; safe, on one line."""
    recipients = report.get("recipients")
    whom = line(", ".join(map(str, recipients))) if isinstance(recipients, list) else ""
    why = line(" ".join(str(report[n]) for n in ("status", "reason") if report.get(n)))
    return f"{line(str(report.get('kind')))}{f' for {whom}' if whom else ''}{f': {why}' if why else ''}"


def people(front: dict[str, Any], name: str) -> str:
    """Return the addresses in a field of an article's front matter, safe, on one line."""
    found = [a for a in front.get(name) or [] if isinstance(a, dict)]
    texts = []
    for a in found:
        who, address = str(a.get("name") or ""), str(a.get("address") or "")
        texts.append(f"{who} <{address}>" if who and address else who or address)
    return line(", ".join(texts))


def _epoch(iso: str) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(iso).timestamp()
    except (ValueError, OverflowError):
        return 0


def _body(body: str, full: bool) -> list[str]:
    rows = []
    for kind, text in quote.blocks(body):
        lines = output.wrap(shown(text).rstrip("\n"), min(output.columns(), 100))
        if kind != "text" and not full and len(lines) >= FOLD_FROM:
            what = "of signature" if kind == "signature" else "quoted"
            rows.append(output.paint(f"[{len(lines)} lines {what}: --full shows them]", "dim"))
        else:
            rows += [output.paint(row, "dim") if kind != "text" else row for row in lines]
    return [row.rstrip() for row in rows] or [""]
