"""Check digits: what tells a card, an account or an identity number from any other digits.

    luhn("4111111111111111") -> True          mod97("GB82WEST12345698765432") -> True          verhoeff("234123412346") -> True

Each function says whether a number, without separators, agrees with its own check digits. All take text and never raise for
text of the form that their pattern in `pii` lets through.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

ALPHANUMERIC = {sign: value for value, sign in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")}
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def luhn(digits: str) -> bool:
    """Payment cards, IMEI, Canadian SIN, Swedish personnummer (ISO/IEC 7812-1)."""
    doubled = (int(one) * (1 + place % 2) for place, one in enumerate(reversed(digits)))
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def mod97(code: str) -> bool:
    """IBAN (ISO 13616): the first four signs go to the end, letters become numbers."""
    return int("".join(str(ALPHANUMERIC[one]) for one in code[4:] + code[:4])) % 97 == 1


def weighted(digits: str, weights: Sequence[int], modulus: int) -> int:
    """The sum of digits times weights, modulo `modulus`: the first step of many national schemes."""
    return sum(int(one) * weight for one, weight in zip(digits, weights, strict=True)) % modulus


def routing(digits: str) -> bool:
    """ABA routing number of a US bank: weights 3, 7, 1 and the Federal Reserve's ranges."""
    district = int(digits[:2])
    issued = district <= 12 or 21 <= district <= 32 or 61 <= district <= 72 or district == 80
    return issued and weighted(digits, [3, 7, 1] * 3, 10) == 0 and digits != "000000000"


def nhs(digits: str) -> bool:
    """British NHS number: mod 11; a check digit of 10 is never issued."""
    return (11 - weighted(digits[:9], range(10, 1, -1), 11)) % 11 == int(digits[9])


def bsn(digits: str) -> bool:
    """Dutch citizen service number: the 11-test, whose last weight is -1."""
    return weighted(digits, [9, 8, 7, 6, 5, 4, 3, 2, -1], 11) == 0 and digits != "000000000"


def spanish(code: str) -> bool:
    """Spanish DNI (8 digits and a letter) and NIE (X, Y or Z first): mod 23."""
    number = code[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == code[-1]


def insee(code: str) -> bool:
    """French social security number: 97 minus the rest modulo 97; Corsica's 2A and 2B count as 19 and 18."""
    number = code[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(code[13:])


def german_tax(digits: str) -> bool:
    """German tax id: ISO 7064 mod 11,10; among the first ten digits one stands twice or three times, the others at most once."""
    counts = sorted(digits[:10].count(one) for one in set(digits[:10]))
    if digits[0] == "0" or counts[-1] not in (2, 3) or (len(counts) > 1 and counts[-2] > 1):
        return False
    product = 10
    for one in digits[:10]:
        total = (int(one) + product) % 10 or 10
        product = 2 * total % 11
    return (11 - product) % 10 == int(digits[10])


_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def codice_fiscale(code: str) -> bool:
    """Italian tax code: signs at odd places count by a table, those at even places by their value; mod 26."""
    values = [ord(one) - (48 if one.isdigit() else 65) for one in code[:15]]
    total = sum(_ODD[value] if place % 2 == 0 else value for place, value in enumerate(values))
    return chr(65 + total % 26) == code[15]


def _dihedral(left: int, right: int) -> int:
    """Multiplication in the dihedral group of the pentagon, numbered as Verhoeff numbers it."""
    if left < 5:
        return (left + right) % 5 if right < 5 else (left + right) % 5 + 5
    return (left - right) % 5 + 5 if right < 5 else (left - right) % 5


_SHIFT = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def verhoeff(digits: str) -> bool:
    """Indian Aadhaar: Verhoeff's scheme, which finds every single error and every swap of neighbours."""
    total = 0
    for place, one in enumerate(reversed(digits)):
        value = int(one)
        for _ in range(place % 8):
            value = _SHIFT[value]
        total = _dihedral(total, value)
    return total == 0


def cpf(digits: str) -> bool:
    """Brazilian CPF (persons): two check digits modulo 11."""
    if len(set(digits)) == 1:
        return False
    checks = [weighted(digits[:count], range(count + 1, 1, -1), 11) for count in (9, 10)]
    return [0 if rest < 2 else 11 - rest for rest in checks] == [int(digits[9]), int(digits[10])]


def cnpj(digits: str) -> bool:
    """Brazilian CNPJ (firms): two check digits modulo 11."""
    if len(set(digits)) == 1:
        return False
    weights = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]
    checks = [weighted(digits[:count], weights[13 - count :], 11) for count in (12, 13)]
    return [0 if rest < 2 else 11 - rest for rest in checks] == [int(digits[12]), int(digits[13])]


def chinese_id(code: str) -> bool:
    """Chinese resident id: ISO 7064 mod 11-2, X for ten."""
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    return "10X98765432"[weighted(code[:17], weights, 11)] == code[17].upper()


_VIN = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9), strict=True))


def vin(code: str) -> bool:
    """Vehicle identification number (49 CFR 565.15): the ninth sign checks the others; not all makers outside America use it."""
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    rest = sum((int(one) if one.isdigit() else _VIN[one]) * weight for one, weight in zip(code, weights, strict=True)) % 11
    return code[8] == ("X" if rest == 10 else str(rest))


def mrz(field: str, check: str) -> bool:
    """A field of a passport's machine-readable zone (ICAO 9303): weights 7, 3, 1, '<' counts 0."""
    values = (0 if one == "<" else ALPHANUMERIC[one] for one in field)
    return sum(value * (7, 3, 1)[place % 3] for place, value in enumerate(values)) % 10 == int(check.replace("<", "0"))


def base58check(code: str) -> bool:
    """Bitcoin address of the old kinds: 25 bytes, of which the last four are a double SHA-256."""
    number = 0
    for one in code:
        number = number * 58 + BASE58.index(one)
    if number >= 1 << 200:
        return False
    whole = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(whole[:-4]).digest()).digest()[:4] == whole[-4:]


def bech32(code: str) -> bool:
    """Bitcoin address of the new kinds (BIP 173 and 350): 'bc1' and a 30-bit code."""
    human, _, data = code.lower().rpartition("1")
    values = [ord(one) >> 5 for one in human] + [0] + [ord(one) & 31 for one in human] + [BECH32.index(one) for one in data]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> place & 1 else 0
    return check in (1, 0x2BC830A3)
