"""What `vit keep` remembers of turns that failed, and how long it waits; what was done, the MLflow store says."""

from dataclasses import asdict, dataclass
from pathlib import Path

from vit.files import read_json, write_json

FIRST_WAIT, LONGEST_WAIT = 300, 86_400  # seconds


@dataclass(frozen=True)
class Failure:
    """The last of `count` failed turns in a row: when (seconds since 1970), with what work (None if that was not known
    yet), and why."""

    count: int
    at: float
    work: str | None
    error: str

    @property
    def wait(self) -> int:
        """Seconds until the next try: 5 minutes, then twice as long each time, a day at most."""
        return min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self.count - 1, 20))

    def remaining(self, now: float) -> float:
        """Seconds left to wait; none if the clock was set back since, as nobody knows then how long it has been."""
        passed = now - self.at
        return self.wait - passed if 0 <= passed < self.wait else 0.0


@dataclass(frozen=True)
class State:
    """The last failure since a turn succeeded, and what the last turn that trained said."""

    failure: Failure | None = None
    last: str | None = None


def read_state(path: Path) -> State:
    """The state; an empty one if there is none or the file is damaged, as it only shortens waiting."""
    try:
        values = read_json(path)
        failure = values["failure"]
        return State(None if failure is None else Failure(**failure), values["last"])
    except (OSError, ValueError, KeyError, TypeError):
        return State()


def write_state(path: Path, state: State) -> None:
    write_json(path, asdict(state))


def failed_again(before: Failure | None, now: float, work: str | None, error: str) -> Failure:
    """The failure that follows `before`; another work starts the count again."""
    repeated = before is not None and before.work == work
    return Failure(before.count + 1 if before is not None and repeated else 1, now, work, error)
