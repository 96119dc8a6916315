"""The sections of a report, each a piece of HTML, empty where there is nothing to show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from noisewise.evaluation.curves import MOST_PANELS, panels, snr_plot
from noisewise.evaluation.markup import Html, data_uri, fold, join, picture, table, tag
from noisewise.evaluation.plots import confusion_matrix, det_curve, embedding_map, render
from noisewise.evaluation.projector import TSNE_FROM, flatten
from noisewise.evaluation.results import Det, Hardest, Rejection, Results
from noisewise.evaluation.sounds import sound, wav
from noisewise.evaluation.sweep import sweep, sweep_plot
from noisewise.evaluation.tables import by_noise, compared, everything
from noisewise.evaluation.wording import describe, figure, paired, why_left_out, worst
from noisewise.noise.condition import Condition

MOST_LISTED = 200
MOST_CURVES = 6


def in_noise(results: Sequence[Results], metrics: Sequence[str]) -> Html:
    """The curves over SNR: the leading metric's open, the others' behind a line each."""
    shown = []
    for number, metric in enumerate(metrics):
        parts = panels(results, metric)
        if not parts:
            continue
        title = describe(metric).title
        alt = f"{title} against signal-to-noise ratio; the numbers are in the tables below."
        caption = "Shaded: confidence interval. Dotted: from the highest ratio to clean speech."
        if len(results) > 1 and len(parts) > 1:
            caption += " The mean over noise types has no interval."
        if len(parts) > MOST_PANELS:
            caption += f" {len(parts) - MOST_PANELS} more are in the tables."
        least = 340 if len(parts) == 1 else 560
        plot = picture(snr_plot(parts, metric), f"snr{number}", alt, caption, least)
        shown.append(plot if number == 0 else fold(title, plot))
    if not shown:
        return tag(
            "p", "Nothing was measured in noise: add noise to the evaluation.", class_="note"
        )
    return join(shown)


def against(results: Sequence[Results], metric: str) -> Html:
    """The leading metric against a number by which the runs differ and are named."""
    swept = sweep(results)
    if swept is None:
        return Html()
    alt = f"{describe(metric).title} against {swept.key}; the numbers are in the tables below."
    caption = "Means over noise types. Dotted: the noisy clips as they are."
    return picture(sweep_plot(swept, metric), "sweep", alt, caption, least=560)


def comparison(results: Sequence[Results], metrics: Sequence[str]) -> Html:
    """Differences to the first run, and whether they are paired; nothing for a single run."""
    if len(results) < 2:
        return Html()
    same = all(paired(results[0], other) for other in results[1:])
    note = (
        "Every run heard the same clips in the same noise, so the differences are paired: what "
        "makes a clip hard is hard for all runs, and a difference can be real even where two "
        "intervals overlap. Where a difference has an interval of its own, only one that "
        "leaves zero out is tinted."
        if same
        else "The runs were not measured on the same clips, so the differences are not paired: "
        "where two intervals overlap, a difference may be chance."
    )
    tables = [compared(results, metric) for metric in metrics]
    folded = [fold(describe(m).title, t) for m, t in zip(metrics[1:], tables[1:], strict=True)]
    return join([tag("p", note, class_="note"), tables[0], *folded])


def numbers(results: Sequence[Results], metrics: Sequence[str]) -> Html:
    """The leading metric by noise and SNR, and every metric behind a line."""
    parts = []
    for r in results:
        heading = [tag("h3", r.run)] if len(results) > 1 else []
        parts += [*heading, by_noise(r, metrics[0])]
        parts.append(fold("All metrics under every condition", everything(r, metrics)))
    return join(parts)


def confusions(results: Sequence[Results], metric: str) -> Html:
    """Confusion matrices, clean and under the worst condition."""
    parts = []
    for number, r in enumerate(results):
        hard = worst(r, metric)
        wanted = ["clean", *([hard.condition.name] if hard is not None else [])]
        for name in [n for n in dict.fromkeys(wanted) if n in r.confusion] if r.classes else []:
            run = f"{r.run}, " if len(results) > 1 else ""
            caption = (
                f"{run}{name}: clips of each class by what the model took them for; shaded by "
                "the share of the row."
            )
            alt = f"Confusion matrix, {run}{name}, {len(r.classes)} classes."
            plot = confusion_matrix(r.confusion[name], r.classes)
            shown = picture(
                plot,
                f"confusion{number}{name == 'clean':d}",
                alt,
                caption,
                least=40 * len(r.classes),
            )
            first = number == 0 and name == "clean"
            parts.append(shown if first else fold(f"{run}{name}", shown))
    return join(parts)


def rejection(results: Sequence[Results]) -> Html:
    """The stored thresholds in words, and DET curves."""
    several = len(results) > 1
    curves: dict[str, Det] = {}
    thresholds: dict[str, Rejection] = {}
    for r in results:
        for name in list(r.det)[:1] if several else _det_conditions(r):
            key = f"{r.run}, {name}" if several else name
            curves[key] = r.det[name]
            if r.rejection is not None and name == "clean":
                thresholds[key] = r.rejection
    parts = []
    for r in results:
        if r.rejection is None:
            continue
        at = r.rejection
        run = f"{r.run}: the" if several else "The"
        target = f", calibrated to accept {figure('far', at.target_far)} of what it should reject"
        parts.append(
            tag(
                "p",
                f"{run} stored threshold is {at.threshold:.3g}"
                + (target if math.isfinite(at.target_far) else "")
                + f". On this data, clean, it accepts {figure('far', at.far)} of that and rejects "
                f"{figure('frr', at.frr)} of what it should accept.",
            )
        )
    if curves:
        alt = "Detection error trade-off: false rejects against false accepts."
        caption = "Lower left is better. Circle: equal error rate. Cross: the stored threshold."
        parts.append(picture(det_curve(curves, thresholds), "det", alt, caption, least=340))
    return join(parts)


def _det_conditions(results: Results) -> list[str]:
    """Clean and each noise type at the SNR nearest to 0 dB, or else the first conditions."""
    near = min((row.snr_db for row in results.rows if row.snr_db is not None), key=abs, default=0)
    wanted = [row.condition.name for row in results.rows if row.snr_db in (None, near)]
    return ([name for name in wanted if name in results.det] or list(results.det))[:MOST_CURVES]


def maps(
    results: Sequence[Results],
    embeddings: Mapping[str, tuple[np.ndarray, Sequence[str]]],
    seed: int,
) -> Html:
    """A map of the embeddings of every run that has some."""
    parts = []
    runs = {r.run: f"{r.run}: " if len(results) > 1 else "" for r in results}
    for number, (run, (points, labels)) in enumerate(embeddings.items()):
        if not len(labels):
            continue
        plot = embedding_map(flatten(points, seed), [str(x) for x in labels])
        kind = "t-SNE: neighbours are alike, distances between groups mean nothing."
        if len(labels) < TSNE_FROM:
            kind = "The two principal components."
        caption = f"{runs.get(run, '')}Embeddings of {len(labels)} clean clips. {kind}"
        alt = f"Map of the embeddings of {len(labels)} clips in {len(set(labels))} classes."
        shown = picture(plot, f"map{number}", alt, caption, least=560)
        parts.append(shown if number == 0 else fold(run, shown))
    return join(parts)


def enhanced(results: Sequence[Results], budget: int) -> tuple[Html, int]:
    """Cards of clips before and after the enhancer, and how many bytes of sound are in them.

    Args:
        results: one a run; those without an enhancer have no such clips.
        budget: no more bytes of sound than this.
    """
    parts, left = [], budget
    for r in results:
        items = []
        for clip in r.enhanced:
            panels = {"clean": clip.clean, "noisy": clip.noisy, "enhanced": clip.enhanced}
            if clip.condition == Condition().name:
                del panels["noisy"]
            name = f"{clip.id}, {clip.condition}"
            shown, players, used = _heard(panels, list(panels), name, left)
            left -= used
            words = tag("p", f"{clip.condition}: {clip.id}", class_="note")
            items.append(tag("li", shown, words, *players))
        if items:
            heading = [tag("h3", r.run)] if len(results) > 1 else []
            parts += [*heading, tag("ul", join(items), class_="clips wide")]
    return join(parts), budget - left


def hardest(results: Sequence[Results], budget: int) -> Html:
    """Cards of the hardest clips, with at most ``budget`` bytes of sound."""
    parts = []
    for r in results:
        items = []
        for clip in r.hardest[:MOST_LISTED]:
            item, used = _clip(clip, budget)
            budget -= used
            items.append(item)
        if items:
            wide = " wide" if any(clip.enhanced is not None for clip in r.hardest) else ""
            heading = [tag("h3", r.run)] if len(results) > 1 else []
            parts += [*heading, tag("ul", join(items), class_=f"clips{wide}")]
    return join(parts)


def _clip(clip: Hardest, budget: int) -> tuple[Html, int]:
    """A card, and how many bytes of sound are in it."""
    said = [tag("strong", clip.true), " taken for ", tag("strong", clip.predicted)]
    score = "" if math.isnan(clip.score) else f", score {clip.score:.3f}"
    card = [tag("p", *said), tag("p", f"{clip.condition}{score}: {clip.id}", class_="note")]
    if clip.samples is None or not len(clip.samples):
        return tag("li", *card), 0
    panels = {"clean": clip.samples}
    if clip.before is not None:
        panels = {"before": clip.before, "after": clip.samples}
    played = list(panels)[-1:]
    if clip.enhanced is not None:
        panels["enhanced"] = clip.enhanced
        played.append("enhanced")
    name = f"{clip.true}, {clip.id}, {clip.condition}"
    shown, players, used = _heard(panels, played, name, budget)
    return tag("li", shown, *card, *players), used


def _heard(
    panels: Mapping[str, np.ndarray], played: Sequence[str], name: str, budget: int
) -> tuple[Html, list[Html], int]:
    """The picture of a clip's stages, players of some, and how many bytes of sound are in them.

    Args:
        panels: title -> (samples,).
        played: titles of what can be heard: all of it, or nothing where it is beyond ``budget``.
        name: of the clip.
        budget: bytes of sound.
    """
    image = data_uri("image/png", render(sound(panels), "png", 110))
    alt = f"Waveform and spectrogram of {name}"
    shown = Html(tag("img", src=image, alt=alt).removesuffix("</img>"))
    contents = {title: wav(panels[title]) for title in played}
    used = sum(map(len, contents.values()))
    if used > budget:
        return shown, [tag("p", "Too much sound for one page: not included.", class_="note")], 0
    players = []
    for title, content in contents.items():
        label = f"{name}, {title}" if len(played) > 1 else name
        address = data_uri("audio/wav", content)
        player = tag("audio", controls="", preload="none", aria_label=label, src=address)
        if len(played) > 1:
            player = tag("div", tag("span", title, class_="note"), player, class_="player")
        players.append(player)
    return shown, players, used


def left_out(results: Sequence[Results]) -> Html:
    """What was not evaluated, and why."""
    parts = []
    for r in results:
        own = []
        if r.data is not None and r.data.excluded_seen:
            own.append(tag("p", why_left_out(r.data.excluded_seen, r.data.speakers) + "."))
        if r.unknown_labels:
            rows = [(label, n) for label, n in sorted(r.unknown_labels.items())]
            own.append(table("Labels in the data that the model lacks", ["Label", "Clips"], rows))
        if r.skipped:
            rows3 = [(s.id, s.condition or "all", s.reason) for s in r.skipped[:MOST_LISTED]]
            listed = table("Clips skipped", ["Clip", "Condition", "Reason"], rows3, numbers=False)
            more = len(r.skipped) - MOST_LISTED
            rest = [tag("p", f"{more} more are in results.json.")] if more > 0 else []
            own.append(fold(f"Skipped: {len(r.skipped)}", listed, *rest))
        if own:
            parts += [tag("h3", r.run)] if len(results) > 1 else []
            parts += own
    return join(parts)


def made(
    results: Sequence[Results], command: str, seed: int | None, versions: Mapping[str, str]
) -> Html:
    """Command, recipe, data, seed and versions."""
    parts = [tag("pre", tag("code", command))] if command else []
    for r in results:
        rows = [("recipe", r.recipe), ("task", r.task)]
        rows += (
            [] if r.data is None else [(k.replace("_", " "), v) for k, v in asdict(r.data).items()]
        )
        shown = [(name, value) for name, value in rows if value != ""]
        parts.append(table(f"Run {r.run}", ["What", "Value"], shown, numbers=False))
    software = [] if seed is None else [("seed", str(seed))]
    software += list(versions.items())
    parts.append(table("Seed and software", ["What", "Value"], software, numbers=False))
    return join(parts)
