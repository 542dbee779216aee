"""Personal data and secrets: each kind is found where it stands, and its near misses are not."""

import base64
import json
import random
import zlib

import polars as pl
import pytest

from tunewright.text import checksums
from tunewright.text.pii import KINDS, PERSONAL, STRONG, find, masked, redact
from tunewright.text.secrets import BASE62

# (kind, text with the value in [[brackets]]): sure finds.
SURE = [
    ("email", "write to [[jo.doe+x@mail.firm.example]] please"),
    ("phone", "call [[(212) 867-5309]] now"),
    ("phone", "ring [[+44 20 7946 0958]]."),
    ("phone", "mein Büro: [[+49 89 32168142]], oder mail"),
    ("phone", "fax [[+44 (0)1483 301793]] today"),
    ("phone", "ring [[+353-61-213147]]; room 5"),
    ("phone", "ruf an: [[0049 30 25041234]] bitte"),
    ("phone", "my cell is [[6502530000]]"),
    ("ip_address", "she logged in from [[93.184.215.14]] at noon"),
    ("ip_address", "client IP: [[81.2.69.160]], port 80"),
    ("ip_address", "[[8.8.4.4]] logged in twice"),
    ("ip_address", "seen at [[2a00:1450:4001:81b::200e]] today"),
    ("card", "pay [[4111 1111 1111 1111]] today"),
    ("card", "amex [[3782 822463 10005]]"),
    ("iban", "my IBAN is [[GB82 WEST 1234 5698 7654 32]]"),
    ("iban", "[[NL91ABNA0417164300]]"),
    ("ssn", "his SSN: [[123-45-6789]]"),
    ("crypto_wallet", "send to [[1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2]]"),
    ("crypto_wallet", "or [[bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq]]"),
    ("crypto_wallet", "ethereum wallet [[0x52908400098527886E0F7030069857D2E4169EE7]]"),
    ("passport", "[[L898902C36UTO7408122F1204159ZE184226B<<<<<10]]"),
    ("passport", "Passport number: [[533380006]] expires soon"),
    ("drivers_licence", "driver's license number [[D1234-56789-01]]"),
    ("imei", "IMEI [[490154203237518]]"),
    ("vin", "the VIN is [[1HGCM82633A004352]]"),
    ("mac_address", "from [[00:1A:2b:3C:4d:5E]] again"),
    ("date_of_birth", "DOB: [[03/14/1985]]"),
    ("date_of_birth", "I was born on [[March 3, 1985]] in Rome"),
    ("codice_fiscale", "codice [[RSSMRA85T10A562S]]"),
    ("insee", "numéro [[2 55 08 14 168 025 38]]"),
    ("chinese_id", "身份证 [[11010519491231002X]]"),
    ("nino", "NI [[AB 12 34 56 C]]"),
    ("nhs", "NHS number [[943 476 5919]]"),
    ("german_tax_id", "Steuer-ID [[86095742719]]"),
    ("spanish_id", "mi DNI es [[12345678Z]]"),
    ("spanish_id", "NIE [[X1234567L]]"),
    ("bsn", "BSN [[111222333]]"),
    ("aadhaar", "card [[2341 2341 2346]]"),
    ("pan", "PAN [[ABCPE1234F]]"),
    ("cpf", "CPF [[529.982.247-25]]"),
    ("cnpj", "firma [[11.222.333/0001-81]]"),
    ("sin", "SIN [[130-692-544]]"),
    ("personnummer", "[[811228-9874]]"),
    ("bank_account", "routing number [[021000021]]"),
    ("bank_account", "my bank account is [[12345678]]"),
    ("gps", "location [[40.7128, -74.0060]]"),
    ("address", "ship to [[12 Elm Street, Troy, NY 12180]]"),
    ("address", "wohnt [[Hauptstraße 12, 10115 Berlin]]"),
    ("person", "Hello, my name is [[Jane Doe]]."),
    ("person", "Patient name: [[Jane Doe]], aged 40"),
    ("person", "Dear Mr. [[John Q. Public]],"),
]


@pytest.mark.parametrize(("kind", "marked"), SURE)
def test_each_kind_is_found_at_its_place(kind: str, marked: str):
    text, start = marked.replace("[[", "").replace("]]", ""), marked.index("[[")
    found = find(pl.Series(["nothing here", text]))
    assert found.select("row", "kind", "start", "end").rows() == [(1, kind, start, marked.index("]]") - 2)]
    assert found["confidence"][0] >= STRONG
    assert text[start : found["end"][0]] == found["value"][0]


NOT = [
    "pay 4111 1111 1111 1112 today",
    "my IBAN is GB83 WEST 1234 5698 7654 32",
    "order 000-12-3456 of 2002-08-22, 10.000.000 pieces",
    "version 1.2.3.4, 192.168.1.1, 300.1.1.1, see http://64.123.160.91/x",
    "ratio 1234-5678-9012, isbn 0-672-31995-5",
    "send to 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3",
    "RSSMRA85T10A562T and 12345678A",
    "BSN 111222334, NHS number 9434765918, SIN 130-692-545",
    "CPF 529.982.247-26, 11.222.333/0001-82",
    "drew 37-13-34-85-56-42 and 16:04:12, 12:30:45:10",
    "born in 1985, the address of 8 Mile Road? I am Happy",
    "First Name: Last Name: E-mail: Full Name: State:",
    "icon@2x.png",
    "Advisory Name: Information Leakage",
    "DAB12CD34E: 9876543210987654, 987654321",
    "my passport is old, my driver's license expired 2001",
    "upgrade from 23.4.1.2 to 23.5.0.1, firmware 93.184.21.4, the driver from 31.0.15.4",
    "93.184.215.14 is a number that stands alone",
    "24:48:1a:00:2b:3c:4d:5e, the fingerprint 20:01:48:60:48:60:88:88",
    "order 2002-08-22 12345678, ticket 0043-12, part +12 34 56, add +1000000000",
    "phone order 6502530000, text file 6502530000",
    "due 01/02/2023 1234, 03-04-2005, page 0123/45, 30 25551234",
    "1234567890 likes, $1,234,567.89, 3.14159, 2.71828",
]


@pytest.mark.parametrize("text", NOT)
def test_what_merely_looks_like_it_is_no_sure_find(text: str):
    assert find(pl.Series([text])).filter(pl.col("confidence") >= STRONG).is_empty()


@pytest.mark.parametrize(
    ("region", "marked"),
    [
        ("DE", "Tel. [[030 25041234]] ab acht"),
        ("DE", "mobil [[0170/1234567]]"),
        ("DE", "am [[(089) 32168142]] zu erreichen"),
        ("GB", "ring [[020 7946 0958]] now"),
        ("FR", "appelez le [[01 42 68 53 00]]"),
    ],
)
def test_numbers_of_the_country_are_sure_only_there(region: str, marked: str):
    text, value = marked.replace("[[", "").replace("]]", ""), marked.split("[[")[1].split("]]")[0]
    found = find(pl.Series([text]), region=region).filter(pl.col("confidence") >= STRONG)
    assert found.select("kind", "value").rows() == [("phone", value)]
    assert find(pl.Series([text]), region="US").filter(pl.col("confidence") >= STRONG).is_empty()


@pytest.mark.parametrize("text", ["am 01.02.2023 um 12:30", "01-02-2003, 03/2021, 02/12/1999", "Version 0815-4711, Art. 0123/45"])
def test_dates_and_articles_are_no_phone_numbers_of_a_country(text: str):
    assert find(pl.Series([text]), ["phone"], "DE").filter(pl.col("confidence") >= STRONG).is_empty()


def test_every_kind_has_an_example():
    assert {kind for kind, _ in SURE} == set(PERSONAL)
    assert set(KINDS) - set(PERSONAL) == {"secret"}


@pytest.mark.parametrize(
    "test", ["luhn", "verhoeff", "mod97", "cpf", "cnpj", "bsn", "nhs", "routing", "chinese_id", "vin", "bech32", "base58check"]
)
def test_a_checksum_notices_nearly_every_wrong_digit(test: str):
    good = {
        "luhn": "4111111111111111",
        "verhoeff": "234123412346",
        "mod97": "GB82WEST12345698765432",
        "cpf": "52998224725",
        "cnpj": "11222333000181",
        "bsn": "111222333",
        "nhs": "9434765919",
        "routing": "021000021",
        "chinese_id": "11010519491231002X",
        "vin": "1HGCM82633A004352",
        "bech32": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "base58check": "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    }[test]
    check = getattr(checksums, test)
    assert check(good)
    draw = random.Random(1)
    places = [place for place, sign in enumerate(good) if sign.isdigit() and place > 2]
    wrong = []
    for _ in range(60):
        place = draw.choice(places)
        other = draw.choice([one for one in "23456789" if one != good[place]])
        wrong.append(good[:place] + other + good[place + 1 :])
    assert sum(map(check, wrong)) <= 6


def github(body: str) -> str:
    number, code = zlib.crc32(body.encode()), ""
    while number:
        number, rest = divmod(number, 62)
        code = BASE62[rest] + code
    return "gh" + "p_" + body + code.rjust(6, "0")


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


# Put together here, so that no scanner takes this file for a leak.
SECRET = {
    "aws": "AKIA" + "Q3EGWZ7T2LMN5RSU",
    "github": github("aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0"),
    "slack": "xoxb-" + "123456789012-abcdefGHIJ1234567890",
    "stripe": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "google": "AIza" + "SyD9x8Qw7Er6Ty5Ui4Op3As2Df1Gh0Jk9Lz",
    "openai": "sk-" + "abcDEF123456ghiJKL78T3BlbkFJmnoPQR901234stuVWX56",
    "jwt": f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded({'sub': '42'})}.c2lnbmF0dXJl",
    "key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    "hugging face": "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
}


@pytest.mark.parametrize("name", SECRET)
def test_a_secret_is_found_whole_and_replaced(name: str):
    text = f"use {SECRET[name]} for it"
    found = find(pl.Series([text]))
    assert found.select("kind", "value").rows() == [("secret", SECRET[name])]
    assert redact(pl.Series([text]))["text"].to_list() == ["use <SECRET> for it"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("postgres://app:" + "s3cr3t-pw@db.internal/x", "s3cr3t-pw"),
        ("API_KEY=" + "9fQ2mZ7xT4vB8nK1cR6w", "9fQ2mZ7xT4vB8nK1cR6w"),
        ('"password": "' + "Tr0ub4dor&3xyzQW!" + '"', "Tr0ub4dor&3xyzQW!"),
    ],
)
def test_of_an_assignment_only_the_value_is_the_secret(text: str, value: str):
    assert find(pl.Series([text]))["value"].to_list() == [value]


@pytest.mark.parametrize(
    "text",
    [
        "password: changeme",
        "token = ${GITHUB_TOKEN}",
        "your password is required, the secret is patience",
        "https://user:pass@host/x http://localhost:8080/@me",
        "api_key=YOUR_API_KEY_HERE",
        "mask-1234567890123456789012345678901234567890 risk-free",
        "eyJhbGc.eyJub.x the token was valid",
    ],
)
def test_placeholders_are_no_secrets(text: str):
    assert find(pl.Series([text]), ["secret"]).is_empty()


def test_a_github_token_with_a_wrong_checksum_is_somebodys_example():
    token = SECRET["github"][:-1] + ("a" if SECRET["github"][-1] != "a" else "b")
    assert find(pl.Series([token]))["confidence"].to_list() == [0.5]


def test_redaction_keeps_doubtful_values_and_counts_the_others():
    texts = pl.Series(["a@b.example, c@d.example, part 123-45-6789", None, "nothing"])
    assert redact(texts).rows() == [("<EMAIL>, <EMAIL>, part 123-45-6789", "email 2"), (None, None), ("nothing", None)]
    assert masked("jo@firm.example") == "j•@••••.•••••••"


def test_allowed_endings_and_chosen_kinds():
    texts = pl.Series(["help@ourfirm.com or jo@home.example or 4111 1111 1111 1111"])
    assert find(texts, ["email"], allow=["@ourfirm.com"])["value"].to_list() == ["jo@home.example"]
    assert find(texts, []).is_empty()
