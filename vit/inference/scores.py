"""The metrics that select epochs and versions, from labels and predictions: values and standard errors."""

import numpy as np

# Each metric, the column of training/history.csv that holds it, and 1 where higher is better, else -1.
COLUMNS = {
    "accuracy": "val_accuracy",
    "balanced_accuracy": "val_balanced_accuracy",
    "macro_f1": "val_macro_f1",
    "log_loss": "val_loss",
}
SIGNS = {"accuracy": 1, "balanced_accuracy": 1, "macro_f1": 1, "log_loss": -1}


def balanced_accuracy(correct: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean recall (...) of the classes that occur, from counts (..., K), as in scikit-learn."""
    return _mean_over_classes(correct, truth)


def macro_f1(correct: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Mean F1 (...) of the classes that occur or are predicted, from counts (..., K), as in scikit-learn."""
    return _mean_over_classes(2 * correct, truth + predicted)


def score(
    metric: str, labels: np.ndarray, predictions: np.ndarray, losses: np.ndarray, classes: int
) -> tuple[float, float]:
    """`metric` over all images, and its standard error; int64 labels and predictions (N,), cross-entropies (N,).

    The first three metrics are shares, or means of shares over classes: of all images, of a class's images, and for F1
    of (true + predicted) / 2 images. Shares of different classes count as independent.
    """
    if metric == "log_loss":
        return float(losses.mean()), float(losses.std() / np.sqrt(max(1, len(losses) - 1)))
    truth, predicted, correct = (
        np.bincount(values, minlength=classes).astype(np.float64)
        for values in (labels, predictions, labels[labels == predictions])
    )
    right, images = {
        "accuracy": (correct.sum(keepdims=True), truth.sum(keepdims=True)),
        "balanced_accuracy": (correct, truth),
        "macro_f1": (correct, (truth + predicted) / 2),
    }[metric]
    right, images = right[images > 0], images[images > 0]
    errors = standard_error(right / images, images)
    return float(_mean_over_classes(right, images)), float(np.sqrt(np.square(errors).sum()) / len(images))


def standard_error(share: np.ndarray | float, count: np.ndarray | float) -> np.ndarray | float:
    """Standard error of a share of `count`, never 0; Agresti & Coull 1998, with two more successes and failures."""
    adjusted = (share * count + 2) / (count + 4)
    return np.sqrt(adjusted * (1 - adjusted) / (count + 4))


def _mean_over_classes(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Mean of above / below (..., K) over the classes for which `below` is not 0."""
    shares = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return shares.sum(axis=-1) / (below > 0).sum(axis=-1)
