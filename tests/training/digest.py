"""Train the shapes on a device in a process of its own and print a digest of the weights; see test_cuda.py."""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from tests.shapes import Training, shapes
from tests.training.common import params_for
from vit.training.checkpoint import Progress
from vit.training.device import apply, choose
from vit.training.distributed import World


def main(folder: Path, changes: dict, killed_at: int) -> None:
    """Train with its checkpoints in `folder`; end by SIGKILL in step `killed_at` (from 0), never if that is 0."""
    params = params_for(folder, **changes)
    apply(choose(params.train, params.model, params.pack.image_size, World())[0])
    training = Training(params, (shapes(folder, 10, seed=0), shapes(folder, 4, seed=1)), folder / "key")
    steps = iter(range(training.progress.steps, 10**9))

    def count(*_: object) -> None:
        if next(steps) == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    if killed_at:
        training.step.optimizers[0].register_step_pre_hook(count)
    progress: Progress = training.run().progress
    digest = hashlib.sha256(repr(progress.history).encode())
    for name, weight in sorted(progress.best_weights.items()):
        digest.update(name.encode() + weight.numpy().tobytes())
    print(digest.hexdigest())


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]))
