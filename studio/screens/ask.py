"""Page Ask: a model's predictions for images, where it looked, and corrections of wrong ones."""

import streamlit as st

from studio.ask.images import choose_images
from studio.command import show_command
from studio.models import choose_model
from studio.text import literal

st.title("Ask")
loaded = choose_model("ask")
uploads = choose_images()
if loaded is not None:
    from studio.ask.about import show_about, trained_on  # late, as they import torch
    from studio.ask.answers import answers_of, as_csv
    from studio.ask.cards import show_cards

    classifier = loaded.classifier
    with st.container(horizontal=True, vertical_alignment="bottom"):
        most = len(classifier.classes)
        top_k = int(st.number_input("Classes shown", 1, most, min(3, most), key="ask top k"))
        threshold = st.slider(
            "Unknown below", 0.0, 1.0, 0.0, 0.01, key="ask threshold", help="Confidence below which nothing is said."
        )
        by = st.text_input("Your name, for the record of corrections", max_chars=100, key="by")
    answers = answers_of(classifier, loaded.digest, uploads)
    for answer in answers:
        if answer.prediction is None:
            st.error(literal(answer.error), icon=":material/error:")
    predicted = [answer for answer in answers if answer.prediction is not None]
    if predicted:
        st.header("Predictions")
        show_cards(loaded, predicted, top_k, threshold, by, trained_on(loaded))
        st.download_button(
            "Download as CSV", as_csv(answers, top_k, threshold), "predictions.csv", "text/csv", on_click="ignore"
        )
        st.caption("The same table for files and folders:")
        show_command(["vit", "predict", "IMAGES", "--model", loaded.source, "--top-k", str(top_k), "--csv"])
    elif not answers:
        st.info("Choose images above; each is shown with the model's prediction and where it looked.")
    show_about(loaded)
