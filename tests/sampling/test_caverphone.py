from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.sampling.caverphone import caverphone

# words of the published examples and of the paper's keyword list
CODES = {
    "yes": "YS", "right": "RT", "other": "ATA", "silence": "SLNK", "forward": "FWT",
    "three": "TRA", "tree": "TRA", "bird": "PT",
    "Lee": "LA", "Thompson": "TMPSN", "Stevenson": "STFNSN", "Peter": "PTA", "ready": "RTA",
    "social": "SSA", "able": "APA", "Dyun": "TN", "Karleen": "KLN", "Tedder": "TTA",
    "Schmidt": "SKMT", "Smith": "SMT", "Henrichsen": "ANRKSN", "Whitlam": "WTLM", "mayer": "MA",
    "rather": "RTA", "writer": "RTA", "hold": "AT", "earth": "AT", "art": "AT", "out": "AT",
    "cough": "KF", "enough": "ANF", "trough": "TRF", "gnome": "NM", "mb": "M", "mbmb": "MPM",
    "": "", "123": "",
}  # fmt: skip


@pytest.mark.parametrize(("word", "code"), CODES.items())
def test_known_codes(word, code):
    assert caverphone(word) == code.ljust(10, "1")


@given(st.text(max_size=30))
def test_every_text_has_a_code_of_ten_known_letters(text):
    code = caverphone(text)
    assert len(code) == 10
    assert set(code) <= set("1AFKLMNPRSTWY")


@given(st.text("abcdefghijklmnopqrstuvwxyz", max_size=12))
def test_case_and_punctuation_do_not_matter(word):
    assert caverphone(f"{word.upper()}'- 7") == caverphone(word)
