"""Whether shared memory holds the batches that workers read ahead (in a container it is 64 MB unless asked)."""

import math
import shutil
from pathlib import Path

from hga_cli.core.progress import Progress
from hga_cli.core.settings import Data

FOLDER = Path("/dev/shm")
MEGABYTE = 1e6


def workers_that_fit(settings: Data, modalities: int, ahead: int, progress: Progress) -> int:
    """Return how many workers may read ahead: as many as wanted, or fewer where their batches would not fit.

    A batch that does not fit ends a worker without a word ("bus error"), so it is said and avoided. The batches
    themselves are the same with any number of workers.

    Args:
        settings: patch, batch and the wanted number of workers.
        modalities: most modalities in a batch.
        ahead: batches that each worker keeps ready.
        progress: is told if there are fewer.
    """
    if not settings.workers or not FOLDER.is_dir():
        return settings.workers
    voxels = settings.batch * math.prod(settings.patch)
    each = voxels * (4 * modalities + 1) * (ahead + 1)
    free = shutil.disk_usage(FOLDER).free
    fitting = min(settings.workers, free // each)
    if fitting < settings.workers:
        progress.warn(
            f"{FOLDER} has {free / MEGABYTE:.0f} MB free, {settings.workers} workers need "
            f"{settings.workers * each / MEGABYTE:.0f} MB: {fitting or 'none'} of them read ahead "
            "(docker run --shm-size=2g gives more)"
        )
    return fitting
