"""``noisewise recipes``."""

from noisewise.recipe import load_any_recipe, shipped


def test_one_line_a_recipe(noisewise):
    done = noisewise("recipes")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped())
    assert all(line.endswith(load_any_recipe(line.split()[0]).description) for line in lines)
    assert max(map(len, lines)) <= 100
