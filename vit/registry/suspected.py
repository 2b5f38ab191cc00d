"""Labels that are probably wrong, in the runs that match params.yaml, with what people have decided about them."""

from vit.data.feedback import decided
from vit.evaluation.suspects import find_suspects
from vit.registry.held_out import held_out_of_params

COLUMNS = (
    *("rank", "path", "label", "suggested", "p_label", "p_suggested"),
    *("score", "suspected", "part", "fold", "sha256", "decision"),
)


def suspected_labels(folds: int | None, top: int | None = None) -> dict:
    """`runs`, `images` (with predictions by a model that was not trained on them), `total`, `suspected` (number), and
    `suspects`: rows with COLUMNS, most suspicious first, of the suspected images or of the `top` lowest scores.

    `decision` is the action in feedback/labels.csv, empty if there is none. Raises UserError as `held_out_of_params`
    and `find_suspects`.
    """
    held_out = held_out_of_params(folds)
    found = find_suspects(held_out.labels, held_out.probabilities)
    corrections = decided()
    rows = []
    for rank, index in enumerate(found.ranking(top).tolist(), 1):
        image, shares, other = held_out.images[index], held_out.probabilities[index], int(found.other[index])
        correction = corrections.get(image["sha256"])
        values = {
            "rank": rank,
            "suggested": held_out.classes[other],
            "p_label": float(shares[held_out.labels[index]]),
            "p_suggested": float(shares[other]),
            "score": float(found.score[index]),
            "suspected": bool(found.suspected[index]),
            "decision": correction.action if correction else "",
        }
        rows.append({name: (image | values)[name] for name in COLUMNS})
    return {
        "runs": held_out.runs,
        "images": len(held_out.images),
        "total": held_out.total,
        "suspected": int(found.suspected.sum()),
        "suspects": rows,
    }
