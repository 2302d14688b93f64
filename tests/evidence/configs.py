"""What each run of the evidence was trained with, small enough to be kept beside the tables."""

import tomllib

import tomli_w
from tables import scores_of

from hga_cli.core.atomic import write_text
from hga_cli.core.config import differences, dump, resolve


def write_configs(work):
    """Write ``configs.toml``: for each row of a table what its first run has otherwise than its method by itself."""
    found = {}
    for regime in work.plan["regimes"]:
        for name in work.plan["runs"]:
            if scores := scores_of(work, regime, name):
                ((folder, *_), *_) = scores.folders
                config = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
                own = dump(resolve(flags={"method.name": config["method"]["name"]}))
                changed = differences(own, config)
                found.setdefault(regime, {})[name] = {key: value for key, _, value in changed if value is not None}
    write_text(work.folder / "configs.toml", tomli_w.dumps(found))
