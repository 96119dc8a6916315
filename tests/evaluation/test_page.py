"""The frame of every report."""

from noisewise.evaluation.markup import tag
from noisewise.evaluation.page import POLICY, page


def test_title_sections_and_policy():
    content = page("<a> & b", "One.", "Two.", {"Some part": tag("p", "x < y")}, "1.2")
    assert "<title>&lt;a&gt; &amp; b</title>" in content
    assert f'content="{POLICY}"' in content
    assert '<a href="#some-part">Some part</a>' in content
    assert '<section id="some-part" aria-labelledby="some-part-title">' in content
    assert "<p>x &lt; y</p>" in content
    assert "Made by noisewise 1.2." in content
    assert "<script" not in content
