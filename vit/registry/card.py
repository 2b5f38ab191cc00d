"""The model card, which becomes the description of a version."""

from vit.config.model import family_named
from vit.config.schema import Params
from vit.inference.scores import COLUMNS
from vit.training.weight_sources import UNKNOWN

LEAKAGE = {"test": "leakage", "val": "val_leakage"}  # in audit.json


def model_card(
    params: Params, raw: dict, audit: dict, scores: dict, temperature: float, weights: dict[str, dict | None]
) -> str:
    """What a person should know before using the model, in Markdown. `weights` as of `weights_known`."""
    model, pack, family = params.model, params.pack, family_named(params.model.name)
    sizes = family.describe(model)
    height, width = pack.image_size
    confidence_level, groups = params.evaluate.confidence_level, scores["test_groups"]
    of_groups = "" if groups == scores["test_images"] else f", from {groups} groups of images"
    lines = [
        f"{family.title} (`{model.name}`) {_beginning(weights)} on {raw['images']} images of `{raw['source']}` "
        f"({raw['version']}).",
        *_corrections(raw),
        f"- Classes ({len(raw['classes'])}): {', '.join(list(raw['classes'])[:20])}",
        f"- Test accuracy **{scores['test_accuracy']:.1%}**, {confidence_level:.0%} interval "
        f"{scores['test_accuracy_low']:.1%} to {scores['test_accuracy_high']:.1%}{of_groups}",
        f"- Balanced accuracy {scores['test_balanced_accuracy']:.1%}, macro F1 {scores['test_macro_f1']:.1%}",
        f"- Always predicting the most frequent class: {scores['majority_accuracy']:.1%}",
        f"- 1-nearest-neighbour on thumbnails: {scores['nearest_neighbour_accuracy']:.1%}",
        *([f"- RBF SVM on the same split: {scores['svc_accuracy']:.1%}"] if "svc_accuracy" in scores else []),
        f"- Expected calibration error {scores['test_ece']:.1%}; {scores['test_ece_uncalibrated']:.1%} without the "
        f"temperature {temperature:.3g}, which was fitted on val",
        f"- Epoch {scores['best_epoch']} was selected on val {_selection(params.train.select_by, scores)}; "
        "test was not used",
        *_head_of_text(weights.get("init"), scores),
        f"- Split by {audit['strategy']}: {audit['reason']}",
        *(f"- Leakage of {split}: {_shares(audit[key])}" for split, key in LEAKAGE.items() if key in audit),
        *(f"- **Warning**: {warning}" for warning in [*audit["warnings"], *_unseen(weights)]),
        f"- Input {height}x{width} pixels, {pack.channels} channel(s), `{pack.fit}`{'; ' if sizes else ''}{sizes}",
    ]
    return "\n".join(lines)


def _corrections(raw: dict) -> list[str]:
    counts = {what: count for what, count in raw.get("corrections", {}).items() if what != "kept" and count}
    said = ", ".join(f"{count} {what}{' to train' if what == 'added' else ''}" for what, count in counts.items())
    return [f"- Images that people corrected: {said}"] if said else []


def _beginning(weights: dict[str, dict | None]) -> str:
    init, teacher = weights.get("init"), weights.get("teacher")
    began = f"fine-tuned from {_named(init)}" if init else "trained from scratch"
    if pretrained := weights.get("pretrained"):
        began = f"pretrained by {pretrained['method']} on {pretrained['unlabelled_images']} images without labels, "
        began += f"beginning with {_named(init)}, then fine-tuned" if init else "then fine-tuned"
    return f"{began} with {_named(teacher)} as its teacher" if teacher else began


def _head_of_text(init: dict | None, scores: dict) -> list[str]:
    if not init or init.get("head") != "text":
        return []
    templates = ", ".join(f"`{template}`" for template in init["head_templates"])
    return [
        f"- The head began as the class names in {templates} (sha256 of the texts "
        f"{init['head_prompts_sha256'][:12]}), embedded by the text tower of `{init['source']}`. Before training, "
        f"zero-shot, accuracy on val was {scores['zero_shot_val_accuracy']:.1%}"
    ]


def _named(known: dict) -> str:
    """Source, licence and digest of weights."""
    name = f"[`{known['source']}`]({known['url']})" if "url" in known else f"`{known['source']}`"
    licence = f"licence {known['licence'] or 'not stated'}, " if "licence" in known else ""
    return f"{name} ({licence}sha256 {known['sha256'][:12]})"


def _unseen(weights: dict[str, dict | None]) -> list[str]:
    """A warning for weights of which nobody knows the images that they were trained on."""
    return [
        f"what images `{known['source']}` was trained on is unknown; if val or test images were among them, the scores "
        "are too high"
        for known in weights.values()
        if known and known.get("images_seen") == UNKNOWN
    ]


def _shares(figures: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.1%}" for name, value in figures.items())


def _selection(metric: str, scores: dict) -> str:
    if metric == "accuracy":
        return f"({scores['best_val_accuracy']:.1%})"
    value = scores[f"best_{COLUMNS[metric]}"]
    return f"by {metric.replace('_', ' ')} ({value:.4f}; accuracy {scores['best_val_accuracy']:.1%})"
