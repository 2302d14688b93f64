"""What the files of a run say."""

import json
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from hga_cli.core.errors import DataError
from hga_cli.core.run_folder import FINISHED, RunFolder

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One run, as it stands in its folder."""

    name: str
    about: Document
    """``run.json``."""
    config: Document
    config_text: str
    """``config.toml``, as it is."""
    epochs: list[Document]
    """The lines of ``journal.jsonl``."""
    metrics: Document | None
    """``metrics.json``; None: the run was not evaluated."""
    is_outdated: bool = False
    """Whether the run has another model now than the one that was scored."""

    @classmethod
    def of(cls, run: RunFolder, metrics: Document | None, *, is_outdated: bool = False) -> Self:
        """Read a run.

        Args:
            run: its folder.
            metrics: what was read of ``metrics.json``.
            is_outdated: whether these are of another model than it has now.

        Raises:
            DataError: ``run.json`` or ``config.toml`` cannot be read.
        """
        about = run.about()
        try:
            text = run.config_file.read_text(encoding="utf-8")
            config = tomllib.loads(text)
        except FileNotFoundError:
            message = f"run '{run.name}' has no config.toml"
            raise DataError(
                message, hint="it was stopped before it began, or the file was moved: train again"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            message = f"'{run.config_file}' is damaged: {error}"
            raise DataError(message, hint="move that run elsewhere") from None
        return cls(
            name=run.name,
            about=about,
            config=config,
            config_text=text,
            epochs=_journal(run),
            metrics=metrics,
            is_outdated=is_outdated,
        )

    @property
    def is_finished(self) -> bool:
        """Whether the training came to its end."""
        return bool(self.about["status"] == FINISHED)

    @property
    def wanted_epochs(self) -> int:
        """How many epochs were asked for."""
        return int(self.config["optim"]["epochs"])

    @property
    def validations(self) -> list[Document]:
        """The lines of the journal with a validation."""
        return [line for line in self.epochs if line.get("validation")]


def averaged_regions(metrics: Document) -> list[str]:
    """Return the regions of ``metrics.json`` that count in means over regions: all, where it has no rule for that."""
    rules = metrics["conventions"]
    return list(rules["averaged"] if "averaged" in rules else metrics["mean"])


def flat_settings(tree: Document, above: str = "") -> dict[str, Any]:
    """Return dotted key -> value for each setting of a tree of sections."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat_settings(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return found


def _journal(run: RunFolder) -> list[Document]:
    """Return the lines of the journal; one that a kill cut off does not count."""
    path = run.path / "journal.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found: list[Document] = []
    for line in lines:
        with suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return found
