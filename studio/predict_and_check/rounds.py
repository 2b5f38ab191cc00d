"""Which picture each round shows, and the rounds that were kept."""

import random

import streamlit as st

from studio.charts import line_chart
from studio.picture_choice import Picture, cat_and_person, rows_of_test, sample
from vit.evaluation.sketch_rounds import ROUNDS, SKETCHES, games, rounds
from vit.files import project_root

BOTH, CAT = "Test split", "Cat and person"


def picture_of_round(config: dict, number: int) -> Picture:
    """Round 0 shows the cat and the person; others a test image, drawn anew in each session.

    Raises UserError if the image's file is gone.
    """
    rows = rows_of_test()
    if number == 0 or not rows:
        return cat_and_person(config)
    seed = st.session_state.setdefault("sketch seed", random.randrange(2**31))
    return sample(config, random.Random(f"{seed} {number}").choice(rows))


def show_progress() -> None:
    """How far the game is, and the learning curve over all rounds ever kept in this project."""
    played = rounds(project_root() / SKETCHES)
    st.header("Your score")
    if not played:
        st.info(f"Paint and check: {ROUNDS} rounds make a game. Your rounds are kept in {SKETCHES} of this project.")
        return
    found = games(played)
    now = found[-1]
    first, second, third = st.columns(3)
    first.metric("Rounds of this game", f"{now['rounds']} of {ROUNDS}")
    before = f"{now['you'] - found[-2]['you']:+.2f} to the game before" if len(found) > 1 else None
    second.metric("Your mean overlap", f"{now['you']:.2f}", before)
    third.metric("A centre guess had", f"{now['centre']:.2f}")
    rows = [
        {"round": number, "overlap": float(row[key]), "guess": name}
        for number, row in enumerate(played, 1)
        for name, key in (("you", "iou"), ("uniform", "uniform_iou"), ("centre", "centre_iou"), ("average map",
                                                                                               "average_iou"))
        if row[key]
    ]  # fmt: skip
    about = f"overlap of your sketch in {len(played)} rounds, beside a uniform, a centre and an average guess"
    line_chart(rows, "round", "overlap", "guess", title="Overlap by round", about=about)
    if len(found) > 1:
        means = ("you", "uniform", "centre")
        st.table([{"game": one["game"]} | {name: f"{one[name]:.3f}" for name in means} for one in found])
