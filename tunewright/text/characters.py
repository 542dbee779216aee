"""Characters that do not show, or are not what they look like: zero width, direction overrides, Cyrillic letters in Latin words.

    "pay\\u200bpal"  zero_width          "p\\u0430ypal" (the first a is Cyrillic)  mixed_script

What a language needs is left alone: joiners in Persian, Indian scripts and emoji, direction marks, flags.
"""

from __future__ import annotations

import unicodedata

from tunewright.text.phrases import Phrase

_CYRILLIC = "асеорхуіјѕԁһАВЕКМНОРСТХІЈЅ"
_GREEK = "ορνΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"
_ODD = "[^\t\n\f\r -\u00ac\u00ae-\u02ff]"  # outside of Latin letters and ordinary signs; a soft hyphen is odd
_FORMS = {
    "zero_width": "[\u200b\u2060-\u2064\ufeff\u180e]|[A-Za-z]{2}[\u200c\u200d\u00ad][A-Za-z]{2}",
    "direction": "[\u202a-\u202e\u2066-\u2069]",
    "hidden_tag": "(?:^|[^\U0001f3f4\U000e0020-\U000e007f])[\U000e0020-\U000e007e]",
    "private_use": "[\ue000-\uf8ff\U000f0000-\U0010fffd]",
    "control": "[\x00-\x08\x0b\x0e-\x1f\x7f]",
    "mixed_script": f"[A-Za-z][{_CYRILLIC}{_GREEK}][a-z]|(?:^|[^\\p{{L}}])[{_CYRILLIC}{_GREEK}][a-z]{{2}}|[a-z]{{3}}[{_CYRILLIC}{_GREEK}](?:[^\\p{{L}}]|$)",
}
SUSPICIOUS = tuple(Phrase(kind, form if kind in ("control", "direction") else _ODD, form) for kind, form in _FORMS.items())


def visible(text: str) -> str:
    """The text with what does not show written out: 'pay\\u200bpal' -> 'pay[U+200B]pal'."""
    return "".join(f"[U+{ord(one):04X}]" if unicodedata.category(one) in ("Cf", "Cc", "Co") and one not in "\n\t" else one for one in text)


def named(text: str) -> str:
    """The letters that do not belong to the script of the others, by name: 'а is CYRILLIC SMALL LETTER A'."""
    foreign = dict.fromkeys(one for one in text if one in _CYRILLIC + _GREEK)
    return ", ".join(f"{one} is {unicodedata.name(one)}" for one in foreign)
