"""What a spam filter in front of us said of a mail. Only those filters are believed that the desk names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vrt.mail.header import field_text

# SpamAssassin: X-Spam-Flag: YES, or X-Spam-Status: Yes, score=…
# rspamd (milter_headers, and its own SpamAssassin-like set): X-Spam: Yes; X-Rspamd-Action: add header, rewrite subject,
# reject (soft reject, which is greylisting, is no verdict); X-Spamd-Result: default: True [9.1 / 6.0]; …
_VERDICTS: dict[str, dict[str, re.Pattern[str]]] = {
    "spamassassin": {"x-spam-flag": re.compile("yes", re.I), "x-spam-status": re.compile(r"yes\b", re.I)},
    "rspamd": {
        "x-spam": re.compile("yes", re.I),
        "x-rspamd-action": re.compile("add header|rewrite subject|reject|quarantine", re.I),
        "x-spamd-result": re.compile(r"[^:]{1,50}: *true\b", re.I),
    },
}


def verdict(fields: Sequence[tuple[str, bytes]], filters: Sequence[str]) -> bool:
    """Say whether one of ``filters`` (``roster.SPAM_FILTERS``) called the mail spam.

    Of a field that is there several times the first counts: the last host to add one was ours.
    """
    for name in filters:
        seen: set[str] = set()
        for field, value in fields:
            pattern = _VERDICTS[name].get(field)
            if pattern and field not in seen:
                seen.add(field)
                if pattern.match(field_text(value[:500])):
                    return True
    return False
