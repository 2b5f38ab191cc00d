"""Tags that several modules know; apart, so that reading them does not import MLflow."""

WAS_CHAMPION, ROLLED_BACK = "was_champion", "rolled_back"  # of a version
LOOKS = "test_looks"  # metric of a run, tag of a version
RENEWED = "keep/"  # of a version, followed by a digest of the data and the code that `vit keep` trained it with
ALARM = "alarm/keep"  # of the champion, while turns of `vit keep` fail: the last error
AGAINST = "against/"  # of a version, followed by the champion's key: the verdict on the pair
COMPARED = "compared/"  # of the registered model, followed by both keys: which look at which val images it was
