"""One version of the model, as it answers requests."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vit.serving.batching import Batcher
from vit.serving.cores import Cores
from vit.serving.golden import prove
from vit.serving.refusal import Refusal
from vit.serving.settings import NO_INDEX, UNKNOWN, Limits, Options, batch_wait
from vit.serving.uploads import Upload, decode_uploads, read_uploads

if TYPE_CHECKING:
    from vit.inference.classifier import Classifier


@dataclass(frozen=True)
class Answered:
    """The predictions for a request, and what they were made of: the files, their pixels uint8 (N, H, W, C), the
    probabilities (N, classes), and the features (N, D) that the head read, with D = 0 unless they were asked for."""

    predictions: list[dict]
    uploads: list[Upload]
    images: np.ndarray
    probabilities: np.ndarray
    features: np.ndarray


class ServedVersion:
    """Weights, preprocessing, limits and batches of one version; threads share them, and nothing of them changes.

    A request that began with a version ends with it, also if another one is served by then.
    """

    def __init__(
        self, classifier: "Classifier", settings: dict, cores: Cores, version: str, with_features: bool = False
    ):
        """`settings` are those of the served model without the server's; raises MlflowException."""
        settings = dict(settings)
        self.classifier = classifier.to(settings.pop("precision"))
        self.cores, self.version = cores, version

        # Both without `self`: a circle would keep the weights in memory after their version is replaced.
        compute = _rows_of(classifier, with_features)

        def rows(images: np.ndarray) -> np.ndarray:
            return cores.rows(compute, images, most_threads)

        most_threads = cores.worth(compute, np.zeros((1, *classifier.input_shape), np.uint8))
        self.batches = Batcher(rows, wait=batch_wait(settings.pop("batch_wait_ms")))
        self.limits = Limits.read(settings)

    @classmethod
    def load(
        cls,
        folder: Path,
        settings: dict,
        cores: Cores,
        version: str,
        golden: Path | None = None,
        with_features: bool = False,
    ) -> "ServedVersion":
        """The version whose weights and config.json lie in `folder`, after its proof by the images in `golden`.

        Raises UserError if a file is missing or damaged, or the proof fails.
        """
        from vit.inference.classifier import Classifier
        from vit.inference.folding import folded

        classifier = folded(Classifier.load(folder))
        if golden is not None:
            prove(classifier, golden)  # in float32; bfloat16 changes probabilities by more than is allowed
        return cls(classifier, settings, cores, version, with_features)

    def answer(self, texts: list[str], params: dict) -> Answered:
        """One prediction per image in base64: label, its index in the model's class order, confidence in [0, 1],
        probabilities by class name, version of the model.

        `params`: `top_k` keeps the k most likely classes; below `threshold` the label is "unknown" and the index -1;
        `explain` adds a map of where the model looked, a PNG in base64. Raises Refusal.
        """
        options = Options.read(params, len(self.classifier.classes))
        if options.explain and not self.classifier.has_attention:
            raise Refusal("this model has no attention maps to explain a prediction; send the request without explain")
        with self.batches.request() as rows_of:
            with self.cores.decoding() as over:
                uploads = read_uploads(texts, self.limits)
                images = decode_uploads(uploads, self.classifier.config, over)
            rows = rows_of(images)
        probabilities, features = np.split(rows, [len(self.classifier.classes)], axis=1)
        predictions = [self._prediction(*one, options) for one in zip(images, probabilities, strict=True)]
        return Answered(predictions, uploads, images, probabilities, features)

    def _prediction(self, image: np.ndarray, probabilities: np.ndarray, options: Options) -> dict:
        likeliest = np.argsort(-probabilities, kind="stable")[: options.top_k]
        by_class = {self.classifier.classes[index]: float(probabilities[index]) for index in likeliest}
        label, confidence = next(iter(by_class.items()))
        index = int(likeliest[0])
        if options.threshold is not None and confidence < options.threshold:
            label, index = UNKNOWN, NO_INDEX
        prediction = {"label": label, "index": index, "confidence": confidence, "probabilities": by_class}
        prediction["model_version"] = self.version
        if options.explain:
            from vit.evaluation.explain import explanation_png

            picture = self.cores.explained(explanation_png, self.classifier, image, int(likeliest[0]))
            prediction["explanation"] = base64.b64encode(picture).decode()
        return prediction


def _rows_of(classifier: "Classifier", with_features: bool) -> Callable[[np.ndarray], np.ndarray]:
    """The function from uint8 (B, H, W, C) to probabilities (B, classes), or (B, classes + D) with what the head read
    of the same forward pass: the logits, if it is not linear."""
    import torch  # late: publishing needs only the signature

    if not with_features:
        return lambda images: classifier.probabilities(torch.from_numpy(images))
    from vit.inference.head_input import HeadInput

    head = HeadInput(classifier.model)

    def compute(images: np.ndarray) -> np.ndarray:
        logits = classifier.logits(torch.from_numpy(images))
        read = head.last()
        return np.concatenate([classifier.calibrated(logits), (logits if read is None else read).numpy()], axis=1)

    return compute
