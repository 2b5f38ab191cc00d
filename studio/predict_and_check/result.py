"""What came out of a round: the sketch, the model's map, where they meet, and the scores beside three guesses."""

import numpy as np
import streamlit as st
from PIL import Image

from studio.inside.drawing import SIDE, numbers_of
from studio.inside.samples import images_of_test
from studio.models import Loaded
from studio.picture_choice import Picture
from studio.text import literal
from vit.evaluation.explain import enlarged, overlay
from vit.evaluation.looking import average_map, batch_of, how_it_is_seen, looked_at
from vit.evaluation.sketch import Score, region

AVERAGED = 64  # test images in the average map
MEANING = (
    "**Overlap** is intersection over union of your region and the model's, both as large as your sketch. "
    "**Pointing** asks whether you covered the patch it looked at most. **Rank** is Spearman's correlation over all "
    "patches; even maps have none, which counts as 0."
)


def show_result(loaded: Loaded, picture: Picture, sketch: np.ndarray, found: dict[str, Score]) -> None:
    """The pictures and the table of a checked round; `sketch` is the coverage of each patch."""
    truth = model_map(loaded, picture.pixels)
    classifier = loaded.classifier
    probabilities = _probabilities(loaded, picture)
    label = classifier.classes[int(probabilities.argmax())]
    st.markdown(f"The model says **{literal(label)}** ({probabilities.max():.1%}). {how_it_is_seen(classifier)}")
    looked = region(truth, float(sketch.sum()))
    left, middle, right = st.columns(3)
    left.image(overlay(picture.pixels, truth, SIDE), width="stretch", caption="where it looked",
               alt="the model's map over the image")  # fmt: skip
    middle.image(_both(picture.pixels, sketch, looked), width="stretch", alt="your region and the model's",
                 caption="yours orange, the model's blue, both white")  # fmt: skip
    with right:
        _verdict(found)
    st.table([{"guess": name, "overlap": f"{one.iou:.4f}", "pointing": f"{one.pointing:.4f}", "rank": f"{one.rank:.4f}"}
              for name, one in found.items()])  # fmt: skip
    st.caption(MEANING)
    numbers_of(truth, "the model's map", "patch")
    numbers_of(sketch, "your sketch, share of each patch", "patch")


def _verdict(found: dict[str, Score]) -> None:
    you = found["you"]
    best = max((name for name in found if name != "you"), key=lambda name: found[name].iou)
    st.metric("Your overlap", f"{you.iou:.2f}", f"{you.iou - found[best].iou:+.2f} to the best guess ({best})")
    st.metric("Pointing", "hit" if you.pointing >= 0.5 else "missed")
    st.metric("Rank correlation", f"{you.rank:+.2f}")


def _both(pixels: np.ndarray, sketch: np.ndarray, looked: np.ndarray) -> Image.Image:
    """Two regions over a grey image: orange, blue, and white where both are."""
    grey = np.asarray(enlarged(pixels, SIDE).convert("L").convert("RGB"), dtype=np.float64)
    height, width = grey.shape[:2]
    down = np.arange(height) * sketch.shape[0] // height
    across = np.arange(width) * sketch.shape[1] // width
    yours, its = (values[down][:, across][..., None] for values in (sketch, looked))
    both = np.minimum(yours, its)
    for share, colour in ((yours - both, (230, 159, 0)), (its - both, (0, 114, 178)), (both, (255, 255, 255))):
        grey = grey * (1 - 0.7 * share) + 0.7 * share * np.array(colour)
    return Image.fromarray(grey.round().astype(np.uint8))


def model_map(loaded: Loaded, pixels: np.ndarray) -> np.ndarray:
    """Where the model looked, (rows, columns)."""
    return _map(loaded.digest, pixels, loaded.classifier)


def mean_map(loaded: Loaded) -> np.ndarray | None:
    """The average map over test images; None without a test split."""
    images = images_of_test(loaded, AVERAGED if loaded.classifier.has_attention else AVERAGED // 4)
    return None if images is None else _average(loaded.digest, images, loaded.classifier)


@st.cache_data(max_entries=32, show_spinner="Asking where the model looked")
def _map(digest: str, pixels: np.ndarray, _classifier) -> np.ndarray:
    return looked_at(_classifier, batch_of(pixels))[0]


@st.cache_data(max_entries=4, show_spinner="Averaging the maps of test images")
def _average(digest: str, images: np.ndarray, _classifier) -> np.ndarray:
    import torch

    return average_map(_classifier, torch.from_numpy(np.array(images)))


def _probabilities(loaded: Loaded, picture: Picture) -> np.ndarray:
    return loaded.classifier.probabilities(batch_of(picture.pixels))[0]
