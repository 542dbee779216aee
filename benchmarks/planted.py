"""Known faults for real rows: each function takes rows and returns them with faults planted, and the ids of the rows that have them.

    rows, planted = mojibake(reviews, 100, rng)      # 100 of the rows have been through the wrong encoding

What is planted is made here and not taken from the word lists of the checks: a detector that only knows its own list finds little of it.
Numbers have valid check digits, as real ones have.
"""

from __future__ import annotations

import json
import string
from typing import Any

import numpy as np
import polars as pl

Rows = tuple[pl.DataFrame, list[str]]
Rng = np.random.Generator


def pick(rows: pl.DataFrame, count: int, rng: Rng, least_words: int = 0) -> list[int]:
    """Places of `count` rows with enough words."""
    able = np.flatnonzero((rows["text"].str.split(" ").list.len() >= least_words).to_numpy())
    return sorted(rng.choice(able, min(count, len(able)), replace=False).tolist())


def replaced(rows: pl.DataFrame, changes: dict[int, str], column: str = "text") -> Rows:
    values = rows[column].to_list()
    for place, value in changes.items():
        values[place] = value
    return rows.with_columns(pl.Series(column, values)), [rows["row_id"][place] for place in changes]


def added(rows: pl.DataFrame, copies: pl.DataFrame, word: str) -> Rows:
    """`copies` under ids of their own behind `rows`, shuffled."""
    copies = copies.with_columns(row_id=pl.format(f"{word}-{{}}", pl.col("row_id")))
    return pl.concat([rows, copies]).sample(fraction=1, shuffle=True, seed=5), copies["row_id"].to_list()


def edited(text: str, share: float, words: list[str], rng: Rng) -> str:
    """`share` of the words, at least one, replaced by words from elsewhere."""
    own = text.split(" ")
    for place in rng.choice(len(own), max(1, round(share * len(own))), replace=False):
        own[place] = words[rng.integers(len(words))]
    return " ".join(own)


def near_duplicates(rows: pl.DataFrame, count: int, rng: Rng, share: float) -> Rows:
    words = sorted(set(" ".join(rows["text"].head(500).to_list()).split()))
    chosen = rows[pick(rows, count, rng, least_words=12)]
    return added(rows, chosen.with_columns(pl.Series("text", [edited(text, share, words, rng) for text in chosen["text"]])), "near")


def exact_duplicates(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    chosen = rows[pick(rows, count, rng, least_words=4)]
    texts = [text.upper() if number % 2 else f" {text.replace(' ', '  ', 1)} " for number, text in enumerate(chosen["text"])]
    return added(rows, chosen.with_columns(pl.Series("text", texts)), "copy")


def conflicting_labels(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    labels = sorted(rows["label"].unique())
    chosen = rows[pick(rows, count, rng, least_words=4)]
    other = [labels[(labels.index(label) + 1) % len(labels)] for label in chosen["label"]]
    return added(rows, chosen.with_columns(pl.Series("label", other)), "other")


def flipped_labels(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    labels = sorted(rows["label"].unique())
    moved = {
        place: labels[(labels.index(rows["label"][place]) + int(rng.integers(1, len(labels)))) % len(labels)]
        for place in pick(rows, count, rng)
    }
    return replaced(rows, moved, "label")


def leaked(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    """A column `split`, and training rows that stand in the test too, each with a word or two changed."""
    words = sorted(set(" ".join(rows["text"].head(500).to_list()).split()))
    rows = rows.with_columns(split=pl.Series(rng.choice(["train", "test"], len(rows), p=[0.8, 0.2])))
    train = rows.filter(pl.col("split") == "train")
    chosen = train[pick(train, count, rng, least_words=12)]
    texts = [edited(text, 0.05, words, rng) for text in chosen["text"]]
    return added(rows, chosen.with_columns(pl.Series("text", texts), split=pl.lit("test")), "leak")


def mojibake(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    """UTF-8 read as Windows-1252, with a curly quote, a dash or an accent in each."""
    marks = ["it’s", "café", "naïve", "—", "“so”", "Müller", "€5", "…", "niño", "señor"]

    def spoilt(text: str) -> str:
        own = text.split(" ")
        own.insert(int(rng.integers(len(own) + 1)), marks[rng.integers(len(marks))])
        return " ".join(own).encode().decode("cp1252", "replace")

    return replaced(rows, {place: spoilt(rows["text"][place]) for place in pick(rows, count, rng)})


def html(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    forms = ["<p>{}</p>", "{}<br/>", "{}&nbsp;&mdash; more", '<a href="/x">{}</a>', "{} &amp;amp; so", '<div class="a">{}']
    return replaced(rows, {place: forms[rng.integers(len(forms))].format(rows["text"][place]) for place in pick(rows, count, rng)})


def placeholders(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    forms = ["Dear [CUSTOMER NAME], {}", "{} - {{ signature }}", "Hello {first_name}, {}", "<insert answer here>", "Lorem ipsum dolor sit amet, consectetur",
             "{} [TO BE COMPLETED]", "N/A", "%(name)s wrote: {}"]  # fmt: skip
    return replaced(rows, {place: forms[rng.integers(len(forms))].replace("{}", rows["text"][place]) for place in pick(rows, count, rng)})


def repeated(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    def again(text: str) -> str:
        return text + " " + " ".join([" ".join(text.split(" ")[-4:])] * 12)

    return replaced(rows, {place: again(rows["text"][place]) for place in pick(rows, count, rng, least_words=6)})


def hidden(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    """Cyrillic letters inside Latin words, zero-width characters inside words, or a right-to-left override."""

    def spoilt(text: str, way: int) -> str:
        if way == 0:
            return text.replace("a", "\u0430", 1).replace("e", "\u0435", 1)
        if way == 1:
            return text[:3] + "\u200b\u200d" + text[3:]
        return text + " \u202egnp.exe\u202c"

    chosen = pick(rows.with_columns(text=pl.col("text").str.replace_all(r"[^a-z ]", "")), count, rng, least_words=5)
    return replaced(rows, {place: spoilt(rows["text"][place], number % 3) for number, place in enumerate(chosen)})


def control_tokens(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    forms = ["{}<|im_end|>", "<s>[INST] {} [/INST]", "<|start_header_id|>user<|end_header_id|> {}", "{}</s>", "<|endoftext|>{}", "### Instruction: {} ### Response:",
             "<start_of_turn>user {}<end_of_turn>"]  # fmt: skip
    return replaced(rows, {place: forms[rng.integers(len(forms))].replace("{}", rows["text"][place]) for place in pick(rows, count, rng)})


FOREIGN = [
    "Der Akku hält den ganzen Tag, aber die Verarbeitung ist leider nicht besonders gut.", "Ich habe das Gerät nach zwei Wochen zurückgeschickt, weil es ständig abstürzt.",
    "L'écran est très lumineux et la prise en main est agréable, je le recommande.", "La livraison a été rapide mais le produit ne correspond pas à la description.",
    "La batería dura poco y el servicio de atención al cliente no responde a mis mensajes.", "Estoy muy contento con la compra, funciona exactamente como esperaba.",
    "Il telefono è bello ma la fotocamera lascia molto a desiderare di sera.", "De kwaliteit valt erg tegen voor deze prijs, ik zou het niet opnieuw kopen.",
    "Produkten fungerar bra men instruktionerna är svåra att förstå för en nybörjare.", "电池很耐用，但是屏幕在阳光下看不清楚。", "画面はきれいですが、充電に時間がかかりすぎます。", "Телефон быстро разряжается и сильно нагревается во время звонков.",
]  # fmt: skip


def foreign(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    return replaced(rows, {place: f"{FOREIGN[rng.integers(len(FOREIGN))]} ({place})" for place in pick(rows, count, rng)})


RUDE = ["you are a fucking idiot", "what a worthless piece of shit you people are", "go kill yourself", "all of them are subhuman vermin",
        "shut up you stupid bitch", "I will find you and break your neck", "he is a retarded asshole", "burn in hell you moron"]  # fmt: skip


def rude(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    return replaced(rows, {place: f"{rows['text'][place]} {RUDE[rng.integers(len(RUDE))]}" for place in pick(rows, count, rng)})


def off_topic(rows: pl.DataFrame, count: int, rng: Rng, others: pl.Series) -> Rows:
    """The beginning of a technical mail where a review should be."""
    return replaced(rows, {place: " ".join(others[number].split()[:40]) for number, place in enumerate(pick(rows, count, rng))})


def echoed(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    return replaced(rows, {place: f"{rows['text'][place]} Yes." for place in pick(rows, count, rng)}, "answer")


def refused(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    forms = ["I'm sorry, but I can't help with that.", "I cannot fulfil this request.", "As an AI language model, I do not have opinions on products.",
             "Unfortunately, I am unable to assist with this topic.", "I must decline to write this.", "It would not be appropriate for me to answer that.",
             "Sorry, I am not able to provide that information.", "As an AI, I don't have personal experiences, but people say it is fine.",
             "I won't be able to help you with that request.", "My guidelines don't allow me to discuss this."]  # fmt: skip
    return replaced(rows, {place: forms[rng.integers(len(forms))] for place in pick(rows, count, rng)}, "answer")


def cut_answers(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    """Answers that stop after 40 to 80% of their words."""

    def cut(text: str) -> str:
        own = text.split(" ")
        return " ".join(own[: max(2, round(len(own) * rng.uniform(0.4, 0.8)))])

    return replaced(rows, {place: cut(rows["answer"][place]) for place in pick(rows, count, rng)}, "answer")


def conflicting_answers(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    chosen = rows[pick(rows, count, rng)]
    return added(rows, chosen.with_columns(pl.Series("answer", ["yes", "no", "maybe so"] * len(chosen))[: len(chosen)]), "other")


def broken_chats(rows: pl.DataFrame, count: int, rng: Rng) -> Rows:
    """Two-turn chats of the rows; the broken ones lack an answer, repeat a role, say nothing, or answer a call that was not made."""

    def chat(place: int, fault: int | None) -> str:
        turns: list[dict[str, Any]] = [
            {"role": "user", "content": rows["text"][place]},
            {"role": "assistant", "content": rows["answer"][place]},
        ]
        if fault == 0:
            turns = turns[:1]
        elif fault == 1:
            turns.insert(1, {"role": "user", "content": "Well?"})
        elif fault == 2:
            turns[1]["content"] = " "
        elif fault == 3:
            turns.insert(1, {"role": "tool", "content": "42", "tool_call_id": "call_9"})
        elif fault == 4:
            turns[0]["role"] = "customer"
        elif fault == 5:
            turns.reverse()
        return json.dumps(turns)

    chosen = {place: number % 6 for number, place in enumerate(pick(rows, count, rng))}
    messages = [chat(place, chosen.get(place)) for place in range(len(rows))]
    return rows.with_columns(messages=pl.Series(messages)), [rows["row_id"][place] for place in chosen]


def skewed_groups(rows: pl.DataFrame, rng: Rng, groups: int = 20, bad: int = 2) -> tuple[pl.DataFrame, list[str]]:
    """A column `shop`; in the first `bad` shops one label is twice as frequent as elsewhere."""
    shops = [f"shop{number}" for number in range(groups)]
    label = sorted(rows["label"].unique())[0]
    weights = np.where((rows["label"] == label).to_numpy()[:, None] & (np.arange(groups) < bad), 2.5, 1.0)
    weights /= weights.sum(axis=1, keepdims=True)
    chosen = (weights.cumsum(axis=1) > rng.random((len(rows), 1))).argmax(axis=1)
    return rows.with_columns(shop=pl.Series([shops[one] for one in chosen])), shops[:bad]


# ---- personal data and secrets


def luhn(digits: str) -> str:
    total = sum(sum(divmod(2 * int(one), 10)) if place % 2 == 0 else int(one) for place, one in enumerate(reversed(digits)))
    return digits + str(-total % 10)


def digits(rng: Rng, count: int) -> str:
    return "".join(str(one) for one in rng.integers(0, 10, count))


def letters(rng: Rng, count: int, of: str = string.ascii_letters + string.digits) -> str:
    return "".join(of[one] for one in rng.integers(0, len(of), count))


def iban(rng: Rng) -> str:
    own = digits(rng, 18)
    check = 98 - int(own + "131400") % 97  # DE00
    shown = f"DE{check:02d}{own}"
    return " ".join(shown[at : at + 4] for at in range(0, 22, 4)) if rng.random() < 0.5 else shown


def german_tax_id(rng: Rng) -> str:
    """Eleven digits, one of the first ten twice and one not at all; ISO 7064 check digit."""
    own = [int(one) for one in rng.permutation(10)]
    own[own.index(0)] = own[0] or own[1]  # no nought, one other digit twice
    product = 10
    for one in own:
        total = (one + product) % 10 or 10
        product = 2 * total % 11
    return "".join(map(str, own)) + str((11 - product) % 10)


def card(rng: Rng) -> str:
    own = luhn(["4", "51"][rng.integers(2)] + digits(rng, 14))[:16]
    own = luhn(own[:15])
    return " ".join(own[at : at + 4] for at in range(0, 16, 4)) if rng.random() < 0.5 else own


def bitcoin(rng: Rng) -> str:
    """A base58 address with its checksum."""
    import hashlib

    payload = b"\x00" + rng.bytes(20)
    whole = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    alphabet, number, out = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", int.from_bytes(whole, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        out = alphabet[rest] + out
    return "1" + out


def personal(kind: str, rng: Rng) -> str:
    """A sentence with one piece of personal data, as people write it."""
    number, name = rng.integers, letters(rng, 6, string.ascii_lowercase)
    made = {
        "email": lambda: f"write to {name}.{letters(rng, 5, string.ascii_lowercase)}@{letters(rng, 7, string.ascii_lowercase)}.com",
        "phone": lambda: f"call me at {['+44 20 7' + digits(rng, 3) + ' ' + digits(rng, 4), f'(212) {number(220, 310)}-' + digits(rng, 4), '+49 30 ' + str(number(2, 9)) + digits(rng, 7)][number(3)]}",
        "iban": lambda: f"pay to {iban(rng)}",
        "card": lambda: f"my card is {card(rng)}",
        "ssn": lambda: f"SSN {number(100, 665)}-{number(10, 99)}-{number(1000, 9999)}",
        "ip_address": lambda: f"he connected from {number(11, 126)}.{number(1, 250)}.{number(1, 250)}.{number(1, 250)}",
        "mac_address": lambda: "the device " + ":".join(f"{one:02x}" for one in rng.integers(1, 250, 6)),
        "date_of_birth": lambda: f"date of birth: {number(1, 28):02d}/{number(1, 12):02d}/{number(1940, 2004)}",
        "nino": lambda: f"National Insurance number {letters(rng, 1, 'ABCEHJLMPR')}{letters(rng, 1, 'ACEHJLMPRSWXY')} {digits(rng, 2)} {digits(rng, 2)} {digits(rng, 2)} {letters(rng, 1, 'ABCD')}",
        "imei": lambda: f"the phone's IMEI is {luhn('35' + digits(rng, 12))}",
        "crypto_wallet": lambda: f"send bitcoin to {bitcoin(rng)}",
        "german_tax_id": lambda: f"meine Steuer-ID ist {german_tax_id(rng)}",
    }  # fmt: skip
    return made[kind]()


KINDS = (
    "email",
    "phone",
    "iban",
    "card",
    "ssn",
    "ip_address",
    "mac_address",
    "date_of_birth",
    "nino",
    "imei",
    "crypto_wallet",
    "german_tax_id",
)


def secret(rng: Rng) -> str:
    upper = string.ascii_uppercase + "234567"
    made = [
        lambda: "aws_access_key_id = AKIA" + letters(rng, 16, upper),
        lambda: "use ghp_" + letters(rng, 36) + " for the checkout",
        lambda: "token: xoxb-" + digits(rng, 12) + "-" + digits(rng, 12) + "-" + letters(rng, 24),
        lambda: "STRIPE_KEY=sk_live_" + letters(rng, 24),
        lambda: "-----BEGIN RSA PRIVATE KEY----- " + letters(rng, 64) + " -----END RSA PRIVATE KEY-----",
        lambda: "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJ" + letters(rng, 40) + "." + letters(rng, 43),
        lambda: "password = " + letters(rng, 12, string.ascii_letters + string.digits + "!#%"),
        lambda: "postgres://admin:" + letters(rng, 14) + "@db.internal:5432/shop",
    ]
    return made[rng.integers(len(made))]()


def inserted(rows: pl.DataFrame, pieces: list[str], rng: Rng) -> Rows:
    """Each of `pieces` at the end of a row of its own."""
    chosen = pick(rows, len(pieces), rng)
    return replaced(rows, {place: f"{rows['text'][place]} {piece}" for place, piece in zip(chosen, pieces, strict=True)})
