"""How to reach a person, and who and where they are: addresses on the net and in the street, phones, names, dates of birth, places.

Dear Mrs. Jane Doe          person         0.8   (a salutation; a capitalised word alone is never a name)
12 Elm Street, Troy 12180   address        0.9   (number, street and postcode; without the postcode 0.6)
"""

from __future__ import annotations

import ipaddress
import re

from tunewright.core.optional import require
from tunewright.text.patterns import CODES, Pattern, always, near

FIELDS = re.compile(r"\b(?:Name|Address|Company|Phone|City|State|Title|Email|Street|Zip|Country|Date|First|Last)\b")
CONNECTED = (  # what stands before the address of somebody's computer; "from" and the like directly before it only
    r"\bips?\b|\bipv[46]\b|\bip[ -]?addr|\blog(?:ged|s)?[ -]?[io]n\b|\bsign(?:ed)? in\b|\bconnect(?:ed|s|ing|ion)\b|\baccessed\b"
    r"|\b(?:client|user|visitor|remote|my|his|her|their|computer['’]?s?|home|source|sender['’]?s?)[ _-](?:addr|address|host)\b"
    r"|\b(?:from|host|client|visitor|peer|via|addr|address)(?: (?:is|was))?[ :=\[(]{1,3}\0"
)
NUMBERED = r"version|release|upgrad|updat|firmware|build|driver|patch|install|kernel|\bbump|\0 (?:to|->|→) \d|\bto \0"
CALLED = (
    r"\b(?:tel|(?:tele)?phone|telefon|mobile|mobil|cell|handy|fax|whatsapp|call|ring|text|dial)"
    r"(?:\W|\b(?:me|us|him|her|them|at|on|is|was|number|no|nr|under|unter|now|please)\b)*\0"
)
FILES = ("png", "jpg", "jpeg", "gif", "html", "htm", "php", "js", "css", "py", "txt", "local", "localdomain", "invalid")


def _email(match: re.Match[str], region: str) -> float:
    return 0.0 if ".." in match[0] or match[0].lower().endswith(FILES) else 0.95


def _ip_address(match: re.Match[str], region: str) -> float:
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return 0.0
    harmless = near(match, r"(?:\bv|version|release|revision|rev|section|chapter)[ .:]*\0|://\0", before=12)  # a server is nobody
    if not address.is_global or harmless:
        return 0.0
    if address.version == 6:
        return 0.8 if re.search("[0-9a-fA-F]{3}", match[0]) else 0.5  # pairs of digits are a fingerprint rather
    software = near(match, NUMBERED, 40, 12)
    return (
        0.8
        if not software and (near(match, CONNECTED, 40, 0) or near(match, r"\0\W{0,3}(?:logged in|signed in|connected)", 0, 20))
        else 0.5
    )


def _mac_address(match: re.Match[str], region: str) -> float:
    if re.search("[a-fA-F]", match[0]):
        return 0.85 if len(set(match[0].upper())) > 3 else 0.0
    return 0.85 if near(match, r"\bmac\b|ethernet|hwaddr|ether\b") else 0.0


def _phone(match: re.Match[str], region: str) -> float:
    phonenumbers = require("phonenumbers", "audit")
    called = match[0]
    abroad = called.startswith(("+", "00"))  # 00 is dialled for + in most countries
    try:
        number = phonenumbers.parse(re.sub("^00", "+", called), None if abroad else region)
    except phonenumbers.NumberParseException:
        return 0.0
    if not phonenumbers.is_valid_number(number):
        return 0.0
    if called.startswith("+"):
        return 0.9
    long = not called.startswith("0") or len(re.sub(r"\D", "", called)) >= 9  # 0815-4711 is an article as well
    grouped = re.search(r"\d[ ().-]+\d|^0\d+/\d", called) and long
    return 0.8 if grouped or near(match, CALLED, 30, 0) else 0.4


def _gps(match: re.Match[str], region: str) -> float:
    latitude, longitude = float(match["latitude"]), float(match["longitude"])
    if abs(latitude) > 90 or abs(longitude) > 180:
        return 0.0
    named = "°" in match[0] or near(match, r"\bgps\b|\blat\b|latitude|coordinates?|\bgeo|located|location", 40, 0)
    return 0.85 if named else 0.5


def _address(match: re.Match[str], region: str) -> float:
    return 0.9 if match["place"] or match["town"] else 0.6


def _person(match: re.Match[str], region: str) -> float:
    several = " " in match["value"]
    if match[0][:4].casefold() in ("name", "full"):  # a form's field, not 'Advisory Name: Information Leakage'
        labelled = re.search(
            r"(?:^|[\n.;,:!?>|-]\s*|\b(?:my|customer|patient|client|contact) )\Z", match.string[: match.start()], re.IGNORECASE
        )
        filled = not FIELDS.search(match["value"]) and match.string[match.end() : match.end() + 1] != ":"
        return 0.8 if several and labelled and filled else 0.0
    return 0.8 if several else 0.5


_ABROAD = r"\+(?:[ ().-]{0,3}\d){7,15}|00[1-9](?:[ ().-]{0,3}\d){7,13}"
_AT_HOME = r"0\d{1,5}[ /-]{1,3}\d{3,9}(?:[ -]\d{1,6}){0,3}|\d{9,15}|\(0?\d{1,5}\)[ .-]?\d{3,8}(?![ .-]?\d)"
_AT_HOME += r"|(?:\(\d{1,5}\)[ .-]?)?\d{1,5}(?:[ .-]{1,2}\d{2,5}){1,4}"
_PHONE = rf"(?:{_ABROAD}|{_AT_HOME})"
_EMAIL = r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[a-zA-Z]{2,24}"
_IPV4, _IPV6 = r"\d{1,3}(?:\.\d{1,3}){3}", r"(?:[0-9a-fA-F]{1,4}:){3,7}(?::?[0-9a-fA-F]{1,4})?(?::[0-9a-fA-F]{1,4}){0,4}"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_DATE = rf"\d{{1,2}}[./-]\d{{1,2}}[./-](?:\d{{2}}){{1,2}}|(?:19|20)\d{{2}}-\d{{2}}-\d{{2}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d{{2}}"
_DATE += rf"|\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH},? (?:19|20)\d{{2}}"
_BORN = r"(?:date of birth|birth ?date|\bd\.?o\.?b\b\.?|\bborn(?: on)?|birthday)"
_TITLE = r"(?:Mr|Mrs|Ms|Miss|Dr|Prof)\b\.?"
_NAME = r"(?!(?:Mr|Mrs|Ms|Dr|Prof|Miss|Sir|Madam)\b)[A-Z][a-zà-öø-ÿ]+(?:['’-][A-Z][a-zà-öø-ÿ]+)?"
_INTRODUCED = r"(?i:\bmy (?:full )?name['’]?(?:s| is)|\b(?:full )?name:)"
_STREET = (
    r"Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Parkway|Pkwy|Highway|Hwy|Way|Circle"
)
_ENGLISH = rf"\d{{1,5}} (?:[NSEW]\.? )?(?:[A-Z][a-z'’.]+ |\d{{1,3}}(?:st|nd|rd|th) ){{1,3}}(?:{_STREET})\b\.?"
_ENGLISH += r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Floor)\.? ?#?\w+|,? #\w+)?"
_GERMAN = r"[A-ZÄÖÜ][a-zäöüß-]+(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse) \d{1,4} ?[a-z]?\b"
_PLACE = (
    r"(?:,? (?:[A-Z][A-Za-z.-]+,? ){0,4}(?:[A-Z]{2},? )?\d{5}(?:-\d{4})?\b|,? (?:[A-Z][a-z-]+,? ){0,3}[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b)"
)
_TOWN = r", \d{5} [A-ZÄÖÜ][a-zäöüß-]+"

CONTACT: dict[str, Pattern] = {
    "email": Pattern(r"\w@[\w-]+\.\w", rf"(?<![\w.+-]){_EMAIL}(?![\w-])", _email, "@"),
    "ip_address": Pattern(
        r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|(?:[0-9a-fA-F]{1,4}:){3}",
        rf"(?<![\w.-]){_IPV4}(?![\w-]|\.\d)|(?<![\w:.]){_IPV6}(?![\w:.])",
        _ip_address,
        CODES,
    ),
    "mac_address": Pattern(
        r"(?:[0-9a-fA-F]{2}[:-]){5}", r"(?<![\w:-])[0-9a-fA-F]{2}([:-])(?:[0-9a-fA-F]{2}\1){4}[0-9a-fA-F]{2}(?![\w:-])", _mac_address, CODES
    ),
    "date_of_birth": Pattern(
        rf"(?i){_BORN}[^0-9]{{0,20}}[0-9]",
        rf"(?i:{_BORN})\W{{0,3}}(?:is |was |in )?(?P<value>{_DATE})(?!\d)",
        always(0.85),
        "(?i)birth|born|d\\.?o\\.?b",
    ),
    "gps": Pattern(
        r"[0-9]\.[0-9]{4}",
        r"(?<![\w.])(?P<latitude>[+-]?\d{1,2}\.\d{4,})°? ?[NS]?,? {1,2}?(?P<longitude>[+-]?\d{1,3}\.\d{4,})°?(?: ?[EW]\b)?(?![\w.])",
        _gps,
    ),
    "phone": Pattern(
        r"[0-9][ ().-]{0,3}[0-9][0-9 ().-]{5,}[0-9]|0[0-9]+/[0-9]", rf"(?<![\w.,/=#:$+-]){_PHONE}(?![\w/=%]|[.,:-]\d)", _phone
    ),
    "address": Pattern(
        rf"[0-9] (?:[0-9A-Z][\w'’.]* ){{1,4}}(?:{_STREET})\b|(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse) [0-9]",
        rf"(?<![\w.,$-])(?:{_ENGLISH}(?P<place>{_PLACE})?|{_GERMAN}(?P<town>{_TOWN})?)",
        _address,
        rf" (?:{_STREET})\b|(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse) [0-9]",
    ),
    "person": Pattern(
        rf"(?i)\bname['’]?(?:s| is|:) |\bdear {_TITLE}",
        rf"(?:{_INTRODUCED} (?:{_TITLE} )?|(?i:\bdear) {_TITLE} )(?P<value>{_NAME}(?: [A-Z]\.)?(?: {_NAME}){{0,2}})(?![\w@])",
        _person,
        "(?i)name|dear",
    ),
}
