"""The model card says what was heard, and the curve has a row for each validation."""

from noisewise.recipe import load_any_recipe
from noisewise.training.pretrain_card import curve, model_card

HISTORY = [
    {"phase": "a", "step": 10, "seconds": 1800.0, "val_loss": 2.0, "val_loss_maskedunits": 2.0,
     "val_score": 0.1},
    {"phase": "b", "step": 5, "seconds": 5400.0, "val_loss": 1.5, "val_keyword": 0.5,
     "val_score": 0.2},
]  # fmt: skip


def test_curve():
    assert curve(HISTORY) == [
        "| phase | step | hours | loss | keyword |",
        "|---|---|---|---|---|",
        "| a | 10 | 0.50 | 2.000 |  |",
        "| b | 5 | 1.50 | 1.500 | 0.500 |",
    ]
    assert len(curve([])) == 2


def test_card():
    recipe = load_any_recipe("noisewise-small", {"augment.noise": ["/data/esc10@folds=1-3", "hum"]})
    found = {
        "parameters": 1234567,
        "hours_of_training": 1.5,
        "history": HISTORY,
        "command": "noisewise pretrain",
        "speakers_kept_out": ["a", "b"],
        "corpora": [
            {"name": "words", "train": 1000, "validation": 20, "hours": 0.25, "licence": "CC0"},
            {"name": "more", "train": 1, "validation": 2, "hours": 0.5, "licence": None},
        ],
    }
    card = model_card(recipe, found)
    assert card.startswith("# noisewise-small\n")
    wanted = [
        "1,234,567 parameters",
        "words: 1,000 clips, 0.25 h (20 clips of other speakers kept out), CC0\n",
        "(2 clips of other speakers kept out)\n",
        "1.50 hours",
        "2 speakers were kept out",
        "esc10@folds=1-3, hum",
        "`noisewise pretrain`",
        "| b | 5 | 1.50 |",
    ]
    for text in wanted:
        assert text in card
    assert "/data/" not in card
    assert "**" not in model_card(recipe, found | {"history": []})
