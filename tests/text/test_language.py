"""The compiled loops give the answers of the libraries whose models they use."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.text.language import identify
from tunewright.text.repair import looks_broken

TEXTS = [
    "I bought this phone yesterday and the battery does not last",
    "Ich habe das Telefon gestern gekauft und bin nicht zufrieden",
    "J'ai acheté ce téléphone hier et la batterie ne dure pas",
    "ICH HABE DAS TELEFON GESTERN GEKAUFT",
    "我昨天买了这个手机，电池不耐用",
    "Купил этот телефон вчера, батарея не держит",
    "cafe\u0301 cafe\u0301",
    "ovo je dobar telefon / ово је добар телефон",
    "👍",
    "",
]
BROKEN = "âÃÂ€™œŠ›²ś―Ä°ГВС√≈×ØÙà¡ abcXYZ.,\n'\"’“é漢"


def test_languages_are_those_of_py3langid():
    langid = pytest.importorskip("py3langid.langid")
    known = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    expected = [known.classify(text) for text in TEXTS]
    found = identify(pl.Series(TEXTS))
    assert found["code"].to_list()[:-1] == [code for code, _ in expected][:-1]
    assert np.allclose(found["probability"], [probability for _, probability in expected], atol=1e-4)


def test_no_text_is_no_language_and_no_crash():
    assert identify(pl.Series([], dtype=pl.String)).is_empty()
    assert len(identify(pl.Series([None, "", "the battery of this phone"]))) == 3


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(BROKEN, max_size=8), min_size=1, max_size=20))
def test_texts_look_broken_where_ftfy_says_so(texts: list[str]):
    is_bad = pytest.importorskip("ftfy.badness").is_bad
    assert looks_broken(pl.Series(texts)).to_list() == [is_bad(text) and not text.isascii() for text in texts]
