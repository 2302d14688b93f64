"""An imbalance table that is also wanted as a file: written only where nothing else is lost."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hga_cli.core.errors import DataError, UsageError
from hga_cli.data.imbalance import ImbalanceTable
from hga_cli.data.raw.description import Description
from hga_cli.data.table_files import write_table_file


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOutput:
    """Where a table goes as a CSV file, and how."""

    path: Path
    published: bool = False
    """In the published layout instead of ours."""
    overwrite: bool = False
    """Replace a file with other contents."""

    def require_free(self, table: ImbalanceTable, description: Description) -> None:
        """Make sure that writing loses nothing.

        Raises:
            UsageError: the path is a folder.
            DataError: another file is there, and is not to be replaced.
        """
        if self.path.is_dir():
            message = f"'{self.path}' is a folder, expected the name of a CSV file"
            raise UsageError(message, hint=f"-o {self.path / table.name}.csv")
        if self.overwrite or not self.path.exists():
            return
        with TemporaryDirectory() as folder:
            made = Path(folder) / "table.csv"
            write_table_file(made, table, description, published=self.published)
            is_same = made.read_bytes() == self.path.read_bytes()
        if not is_same:
            message = f"'{self.path}' is there already, and is another table or something else"
            raise DataError(message, hint="replace it with --overwrite, or choose another name")

    def write(self, table: ImbalanceTable, description: Description) -> None:
        """Write the file."""
        write_table_file(self.path, table, description, published=self.published)
