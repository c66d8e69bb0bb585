"""A text that is not to be shown."""

from __future__ import annotations

from typing import NoReturn, Self

HIDDEN = "***"
"""What is shown in place of a secret."""


class Secret:
    """A text that shows itself nowhere: its `repr`, `str` and formatting are "***", and it can't be pickled.

    Two with the same text are equal. Where amibake uses one, it is hidden in whatever the builder prints as well.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Raises TypeError when `text` is no str; it does not say what it is."""
        if not isinstance(text, str):
            raise TypeError(f"a Secret is made of a str, not {type(text).__name__}")
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({HIDDEN!r})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled")


def revealed(value: str | Secret) -> str:
    """The text of either."""
    return value.reveal() if isinstance(value, Secret) else value
