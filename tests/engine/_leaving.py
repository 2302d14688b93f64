"""One of two ranks: the first one fails after torch has loaded what optimisers need, the other waits for it."""

import torch

from hga_cli.core.errors import DataError
from hga_cli.engine.ranks import joined_ranks

with joined_ranks(torch.device("cpu")) as ranks:
    import torch.distributed.nn

    ranks.gather(None)
    if ranks.is_first:
        raise DataError("the disk of this machine is gone", hint="buy another")
    ranks.from_first(None)
