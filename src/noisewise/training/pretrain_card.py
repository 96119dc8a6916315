"""The model card of a pre-trained upstream, and its curve: figure against hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noisewise.recipe import PretrainRecipe


def model_card(recipe: PretrainRecipe, found: dict[str, Any]) -> str:
    """Markdown: what it is, what it heard, how it was trained, how it developed, how to use it.

    Args:
        recipe: of the run.
        found: see `noisewise.training.pretrain.pretrain`.
    """
    last = found["history"][-1] if found["history"] else {}
    lines = [f"# {recipe.recipe}", "", recipe.description, ""]
    lines += [
        f"- {found['parameters']:,} parameters; {recipe.network.architecture['model_type']} of "
        "transformers, 16 kHz, one frame every 20 ms",
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
    lines += ["", "## Development", "", *curve(found["history"]), ""]
    if last:
        lines += ["`loss` is that of the phase's objective on validation speakers; the other"]
        lines += ["columns are linear probes on the mean over frames and layers.", ""]
    lines += ["## Limits", ""]
    lines += ["Trained on hours, not thousands of hours: expect it to know the words, accents and"]
    lines += ["microphones it has heard much better than others. English only.", ""]
    lines += ["## Use", "", "```bash", f"noisewise embed {recipe.recipe} CLIPS --out D", "```", ""]
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
