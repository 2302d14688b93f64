"""What can be a case id: a name that every system writes alike, that can be shown, and that files can be called by."""

from unicodedata import normalize

LONGEST = 230
"""Bytes of an id: files that are called by it (``<id>_disagreement.nii.gz``) may have 255."""
NOT_IN_NAMES = frozenset("/\\\0")
RENAMING = "convmv -f latin1 -t utf8 -r --notest does whole folders"
"""What to do about names that are no UTF-8 text."""


def composed(text: str) -> str:
    """Return a name with ``ü`` as one character. macOS writes two, which look alike and are not equal."""
    return normalize("NFC", text)


def printable(text: str) -> str:
    r"""Return a name as it can be shown: bytes that are no UTF-8 text (from older systems) as ``\xfc``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def fault_of_id(case: str) -> str | None:
    """Return why a case cannot be called so, and what to do; None: it can."""
    repair = "rename its files, or let the rule layout.case take each folder as a group of its own: ([^/]+)"
    if case in ("", ".", ".."):
        return f"'{case}' cannot be a case id; {repair}"
    if odd := sorted(set(case) & NOT_IN_NAMES):
        return f"its id holds {odd[0]!r}, which the name of a file cannot; {repair}"
    size = len(case.encode("utf-8", "surrogateescape"))
    if size > LONGEST:
        return f"its id has {size} bytes, a file can be called by at most {LONGEST} of them; {repair}"
    return None
