"""The law of the ledger and the keyring: what makes a commit lawful. Pure: it sees values, never git or a key.

The nine rules are those of ``docs/FORMAT.md`` section 7. ``State`` is what has been accepted so far; ``check`` takes
the next commit of the ledger into it, and ``check_key`` the next of the keyring, or they raise ``Unlawful`` and leave
it as it was. ``verify``, ``sync``, ``clone`` and the hook of a host all call these two.

- ``events``: rules 1 to 5, 7 and 8, of what is done to tickets; ``ties``: what an event says of others (rule 4)
- ``desk``: rule 6, of the desk files
- ``keys``: rule 9, of the keyring
"""

from vrt.law.events import check, check_event
from vrt.law.keys import check as check_key
from vrt.law.keys import message as key_message
from vrt.law.state import Breaks, Commit, State, Unlawful
from vrt.law.ties import Ties, strays

__all__ = [
    "Breaks", "Commit", "State", "Ties", "Unlawful", "check", "check_event", "check_key", "key_message", "strays",
]  # fmt: skip
