"""By what names and words machines' mail is told from people's: of mail systems, of unread addresses, of reports.

Words only, in the languages that mail to a volunteer team comes in; what follows from them is
decided in ``bounce`` and ``loops``. Patterns are for text in lower case, and linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from vrt.mail import header

_MAX_VALUE = 4000  # bytes of a field that are looked at


def values(fields: Sequence[tuple[str, bytes]], name: str) -> list[str]:
    """Return the values of a field, unfolded, each cut to a sane length; ``fields`` as ``header.split`` gives them."""
    return [header.field_text(value) for value in _named(fields).get(name, ())]


class _Last:
    """The header that was asked for last: sixty questions are asked of each."""

    fields: Sequence[tuple[str, bytes]] = ()
    named: ClassVar[dict[str, list[bytes]]] = {}


def _named(fields: Sequence[tuple[str, bytes]]) -> dict[str, list[bytes]]:
    if _Last.fields is not fields:
        _Last.fields, _Last.named = fields, {}
        for name, value in fields:
            _Last.named.setdefault(name, []).append(value[:_MAX_VALUE])
    return _Last.named


_ANGLE = re.compile(r"<([^<>]*)>")


def envelope_sender(fields: Sequence[tuple[str, bytes]]) -> str | None:
    """Return the address in the topmost Return-Path (RFC 5321 section 4.4), "" if empty, None without that field."""
    found = values(fields, "return-path")
    if not found:
        return None
    match = _ANGLE.search(found[0])
    address = (match[1] if match else found[0]).strip(" \t\"'")
    return "" if address.lower() == "null" else address  # AOL


def local_part(address: str) -> str:
    """Return what stands before the last ``@`` of an address, in lower case, without quotes."""
    return (address.rpartition("@")[0] or address).strip().strip('"').lower()[:320]


def unread(address: str) -> bool:
    """Return whether an address says by its name that nobody reads what is sent there (no-reply, noreply-7 ...)."""
    return bool(_UNREAD.search(_SEPARATORS.sub("", local_part(address))))


_SEPARATORS = re.compile(r"[-_.+=\s]+")
# en de fr es it pt nl pl sv/da/no fi cs ru
_UNREAD = re.compile(
    r"noreply|notreply|donotrepl|donotrespond|dontreply|norespon[ds]|noanswer|nichtantworten|keineantwort|nepasrepondre|"
    r"sansreponse|nocontestar|nonrispondere|naorespond|nietbeantwoorden|nietantwoorden|nieodpowiada|svara?inte|"
    r"svaraej|svaraikke|svarikke|besvarikke|ikkesvar|eivastata|alavastaa|neodpovida|neodpovidejte|neotvechat"
)

# Local parts, and names, of what reports on deliveries.
MAIL_SYSTEM = re.compile(r"mail(?:er)?[-_. ]?daemon|mdaemon|mail[-_. ]delivery?[-_. ](?:sub)?system|double-bounce")
SYSTEM_NAME = re.compile(r"mailer[- ]?daemon|mail deliver(?:y|er)? (?:sub)?system|mail delivery (?:service|agent)")
POSTMASTER = re.compile(r"post[-_. ]?master")
OFFICE_NAME = re.compile(r"\b(?:system|mail|ndr) administrator\b|^postmaster$|\bcontent[- ]?filter\b|\bmail gateway\b")


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


# Of the subjects and sentences of reports that something was not delivered.
SAYS = _any(
    r"undeliver|non-?deliver|not (?:yet )?(?:be(?:en)? )?(?:delivered|reach)|did not reach",
    r"returned (?:mail|message|to)|returning message|invalid (?:final delivery|user|recipient|address)",
    r"deliver\w{0,4} (?:status|report|fail|error|problem|has (?:failed|been delayed)|to the following)",
    r"(?:fail|failed|failure|error|problems?|trouble)\w{0,3} (?:while |trying to |in |to )?(?:send|deliver|notice)",
    r"mail (?:delivery|system) (?:fail|error|status|report)|mail(?:er)? fail|unable to (?:deliver|send)|see transcript",
    r"(?:could|can|was|were|is|are) ?(?:not|n.?t)(?: be)?(?: able)?(?: to)? (?:deliver|sent|send|reach)|blocked by our",
    r"permanent (?:fatal )?error|(?:was|were|been|had) (?:rejected|delayed|bounced|undeliver|delivery (?:err|probl))",
    r"delayed mail|delivery delayed|message .{1,60} delayed|unsolicited bulk email|bounce[ds]? (?:mail|message|back)",
    r"e?mail bounce|could not send message|transcript of (?:the )?(?:session|attempts)|smtp server: errors from",
    r"failure reason|error message below|incorrectly constructed",
    r"(?:user|host|mailbox|recipient|address) (?:is )?(?:unknown|full|unavail)",
    r"(?:unknown|no such) (?:user|host|recipient|mailbox|address)",
    # de nl sv da no fi
    r"(?:nicht |un)zustell|nicht (?:zugestellt|ausgeliefert|übermittelt)|zustell\w{0,12} (?:fehl|verzög)|zustellfehler",
    r"übermittlungsstatus|zustellstatus|onbestelbaar|niet (?:worden )?(?:afgeleverd|bezorgd|besteld)|afleverfout",
    r"aflevering mislukt|ka?n(?:de)? inte (?:leverera|skicka)|olevererat|oleverbar|kan ikke (?:leveres|sendes)",
    r"kunne ikke (?:leveres|sendes)|ikke leveret|ikke levert|uleveret|uleverbar|toimit\w{1,9} epäonnistui",
    r"ei voi(?:tu|da)? toimittaa",
    # fr es it pt ro
    r"non (?:remis|distribu|délivr|livr)|échec d\w{0,2} ?(?:de )?(?:la )?(?:remise|livraison|distribution|l?.?envoi)",
    r"pas pu être (?:remis|livr|distribu|délivr|envoy)|état de (?:la )?remise|imposible (?:de )?entregar",
    r"no se (?:ha )?p\w{3,5} (?:entreg|enviar)|no (?:fue )?entregad|entrega (?:fallida|no realizada)",
    r"estado de (?:la )?entrega|(?:error|fall[oa]) (?:de|en la) entrega|mancat[oa] (?:recapito|consegna)",
    r"non (?:è stato )?(?:possibile )?(?:recapit|consegn)|(?:recapito|consegna) (?:non riuscit|fallit)|stato del recap",
    r"nelivrat|nu (?:s-a|a) putut (?:fi )?livra",
    r"não (?:foi |pôde )?(?:possível )?(?:ser )?entreg|falha (?:na|de|no) (?:entrega|envio)",
    # pl cs hu ru uk
    r"niedostarcz|nie (?:można|udało się) (?:dostarcz|doręcz)|nie (?:dostarcz|doręcz)|nedoruč|nelze doručit",
    r"kézbesíthet|не ?доставлен|не удал\w{1,3} доставить|не может быть доставлен|невозможно доставить|ошибка доставки",
    r"не вдал\w{1,3} доставити",
    # el tr ar he vi id
    r"δεν παραδόθηκε|μη παραδοτέ|teslim edilemed|iletilemedi|تعذر (?:ال)?تسليم|لم يتم (?:ال)?تسليم|לא נמסר",
    r"לא ניתן (?:למסור|למסירה)|không (?:gửi được|thể gửi|gửi đi được)|(?:tidak|gagal) terkirim|gagal mengirim",
    # ja zh ko
    r"(?:配信|配送|配達|送信|送達)(?:でき|不能|エラー|に失敗|失敗|されません)|未配信|不達|无法(?:投递|送达|传递|发送)",
    r"無法(?:投遞|送達|傳遞|傳送)|退信|未能?(?:送达|送達|投递|投遞|傳遞)|(?:投递|传递|发送|傳遞|傳送|寄送)失[败敗]",
    r"배달(?:되지| ?실패|할 수 없)|전송(?:되지| ?실패)|발송 ?실패|반송|수신 ?실패",
)
# That it will be tried again.
PUT_OFF = _any(
    r"\bdelay(?:ed)?\b|^warning: |still being retried|will (?:be retried|keep trying|retry)|not yet been delivered",
    r"delivery attempts will continue|(?:do|does) not need to re-?send|warning message only|only a temporary failure",
    r"could not send message for past|verzöger|retardé|en retard|remise différée|retrasad|demorad|ritardat|in ritardo",
    r"atrasad|vertraagd|opóźnion|försenad|forsinket|viivästy|zpožd|задерж|затрим|καθυστέρ|gecik|遅延|延迟|延遲|지연",
)
GIVEN_UP = re.compile(
    r"permanent (?:fatal )?error|giving up|given up|not going to try again|has failed|failed permanently|undeliverable"
)
GONE_WELL = re.compile(r"\bsuccess(?:ful|fully)?\b|^(?:delivered|relayed|expanded|read): ")

# How people's programs begin the subject of an answer or a forwarded mail.
ANSWERED = re.compile(
    r"(?:re|aw|antw|antwort|sv|vs|vá|odp|ynt|rép|ref|fwd?|wg|tr|rv|enc|i|vl|doorst|pd|ilt|továbbítás|回复|回覆|答复|转发|轉寄|"
    r"返信|転送|답장|전달)(?:\[\d{1,3}\])?\s?[:：]"
)
# How automatic answers begin their subject.
_AWAY = (
    # en
    r"auto(?:matic|mated|matically generated)?[- ]?(?:reply|respon[sd]|answer)|auto:|out[- ]of[- ](?:the[- ])?office",
    r"ooo:|(?:on )?vacation|away from|i am (?:away|out)",
    # de nl fr es it pt
    r"abwesenheit|automatische (?:antwort|antwoord|beantwortung)|automatisch antwoord|autom\. antwort|afwezig",
    r"réponse automatique|message d.absence|absence|absent|respuesta autom|fuera de (?:la )?oficina|ausencia|ausente",
    r"risposta automatica|fuori (?:sede|ufficio)|assenza|assente|resposta autom|fora do escrit",
    # sv da no fi pl cs hu ro ru uk el tr
    r"autosvar|automatiskt? svar|frånvaro|fravær|automaattinen vastaus|poissa|autoodpowied|automatyczna odpowied",
    r"nieobecno|automatická odpov|automatikus válasz|răspuns automat|автоматический ответ|автоответ",
    r"автоматична відповідь|αυτόματη απάντηση|otomatik (?:yanıt|cevap)",
    # ar he ja zh ko
    r"رد تلقائي|תשובה אוטומטית|自動(?:返信|応答|回覆)|自动(?:回复|答复)|不在|자동 ?(?:응답|회신)|부재",
)
AWAY = re.compile(r"(?:\[[^\]]{1,30}\]\s?)?(?:" + "|".join(_AWAY) + ")")
