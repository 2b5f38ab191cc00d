import numpy as np
import pytest

from vit.errors import UserError
from vit.monitoring.windows import Window, complete


def parts(at: list[float], size: str, until: float = 1e9) -> list[list[float]]:
    times = np.array(at, float)
    return [times[part].tolist() for part in complete(times, Window.parse(size), until)]


def test_windows_of_predictions_follow_each_other_and_the_rest_waits():
    at = list(range(50))
    assert parts(at, "20") == [at[:20], at[20:40]]
    assert parts(at, "20", until=38) == [at[:20]]


def test_the_images_of_one_request_stay_in_one_window():
    assert [len(part) for part in parts([0] * 15 + [1] * 10 + list(range(2, 22)), "20")] == [25, 20]


def test_windows_of_time_begin_at_full_hours_and_empty_ones_are_left_out():
    hour = 3600
    at = [10, 20, hour + 5, 3 * hour + 1, 3 * hour + 2]
    assert parts(at, "1h", until=4 * hour - 1) == [[10, 20], [hour + 5]]
    assert parts(at, "60m", until=4 * hour) == [[10, 20], [hour + 5], [3 * hour + 1, 3 * hour + 2]]


@pytest.mark.parametrize("text", ["", "0", "19", "-5", "1.5h", "3w", "0d", "h"])
def test_a_window_that_is_none_is_named_with_what_is(text):
    with pytest.raises(UserError, match=f"--window {text}: must be a number of predictions >= 20"):
        Window.parse(text)


@pytest.mark.parametrize(("text", "shown"), [("500", "500"), ("90m", "90m"), ("120m", "2h"), ("24h", "1d")])
def test_a_window_has_one_name(text, shown):
    assert str(Window.parse(text)) == shown
