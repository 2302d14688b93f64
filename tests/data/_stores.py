"""What the tests of the store share."""

from _raw import BRATS, MODALITIES

from hga_cli.data.imbalance import ImbalanceTable
from hga_cli.data.raw.prepare import Preparation
from hga_cli.data.splits import Split
from hga_cli.data.store import Store, update_index

SPLIT = Split(name="default", train=["p1"], val=[], test=["p2"], about={"ratios": [0.5, 0, 0.5], "seed": 3})
TABLE = ImbalanceTable(
    name="mr2468",
    cases=["p1"],
    modalities=MODALITIES,
    available=[(True, False, True, False)],
    about={"rates": {"t1": 0.2}},
)


def index(path, cases, skipped=()):
    update_index(path, BRATS, found=cases, examined=cases, skipped=skipped, preparation=Preparation())
    return Store(path)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
