"""Model cards of what is trained on audio alone, and their curves: figure against hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noisewise.recipe import DecomposeRecipe, PretrainRecipe, UnlabelledRecipe


def model_card(recipe: PretrainRecipe, found: dict[str, Any]) -> str:
    """Markdown: what it is, what it heard, how it was trained, how it developed, how to use it.

    Args:
        recipe: of the run.
        found: see `noisewise.training.unlabelled.train_unlabelled`.
    """
    what = f"{recipe.network.architecture['model_type']} of transformers, 16 kHz, one frame every "
    columns = ""
    if found["history"]:
        columns = "`loss` is that of the phase's objective on validation speakers; the other\n"
        columns += "columns are linear probes on the mean over frames and layers.\n"
    use = f"noisewise embed {recipe.recipe} CLIPS --out D"
    return _card(recipe, found, f"{what}20 ms", columns, use, recipe.recipe)


def decomposer_card(recipe: DecomposeRecipe, found: dict[str, Any], name: str) -> str:
    """The same of a decomposer that is called ``name``."""
    what = "content, rhythm, pitch and timbre, 16 kHz, a code every 128 ms"
    columns = "`loss` is the mean squared error of the mel spectrogram on validation speakers.\n"
    use = f"noisewise train emotion-decomposed --model.upstream.decomposer {name}"
    return _card(recipe, found, what, columns, use, name)


def _card(
    recipe: UnlabelledRecipe,
    found: dict[str, Any],
    what: str,
    columns: str,
    use: str,
    name: str,
) -> str:
    lines = [f"# {name}", "", recipe.description, ""]
    lines += [
        f"- {found['parameters']:,} parameters; {what}",
        f"- trained for {found['hours_of_training']:.2f} hours on unlabelled audio:",
    ]
    lines += [
        f"    - {c['name']}: {c['train']:,} clips, {c['hours']:.2f} h "
        f"({c['validation']:,} clips of other speakers kept out)"
        f"{', ' + c['licence'] if c['licence'] else ''}"
        for c in found["corpora"]
    ]
    lines += [
        f"- {len(found['speakers_kept_out']):,} speakers were kept out of all corpora: those that "
        f"a hash of (seed {recipe.seed}, speaker) puts in the validation share; `pretraining.json` "
        "lists them",
        f"- noise in training: {', '.join(_names(recipe.augment.noise)) or 'none'}; rooms: "
        f"{', '.join(_names(recipe.augment.rooms)) or 'none'}",
        f"- command: `{found['command']}`",
    ]
    lines += ["", "## Development", "", *curve(found["history"]), "", columns]
    lines += ["## Limits", ""]
    lines += ["Trained on hours, not thousands of hours: expect it to know the words, accents and"]
    lines += ["microphones it has heard much better than others. English only.", ""]
    lines += ["## Use", "", "```bash", use, "```", ""]
    return "\n".join(lines)


def curve(history: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of a Markdown table: one row a validation."""
    names = list(dict.fromkeys(k for row in history for k in row if k.startswith("val_")))
    names = [n for n in names if n not in ("val_score",) and not n.startswith("val_loss_")]
    head = ["phase", "step", "hours", *(n.removeprefix("val_") for n in names)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in history:
        cells = [str(row["phase"]), str(row["step"]), f"{row.get('seconds', 0) / 3600:.2f}"]
        cells += [f"{row[n]:.3f}" if n in row else "" for n in names]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _names(specs: Sequence[str]) -> list[str]:
    return [spec.rstrip("/").rpartition("/")[2] for spec in specs]
