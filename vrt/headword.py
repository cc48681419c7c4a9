"""A commit as a word that two people can compare by telephone. Pure."""

from __future__ import annotations

_CONSONANTS, _VOWELS = "bdfghjklmnprstvz", "aiou"


def headword(commit: str) -> str:
    """Return the first 48 bits of a commit id (hex) as three words of five letters that can be said:
    ``lusab-babad-gutih``.

    The code is that of proquints (Wilkerson, arXiv:0901.4016): 16 bits as consonant, vowel, consonant, vowel,
    consonant.
    """
    return "-".join(_word(int(commit[i : i + 4], 16)) for i in (0, 4, 8))


def _word(bits: int) -> str:
    c, v = _CONSONANTS, _VOWELS
    return c[bits >> 12] + v[bits >> 10 & 3] + c[bits >> 6 & 15] + v[bits >> 4 & 3] + c[bits & 15]
