"""Tags that several modules know; apart, so that reading them does not import MLflow."""

WAS_CHAMPION, ROLLED_BACK = "was_champion", "rolled_back"  # of a version
LOOKS = "test_looks"  # metric of a run, tag of a version
