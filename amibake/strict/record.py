"""What clients have asked for, as it came over the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LIMIT = 20_000  # a sandbox may live for weeks


@dataclass(frozen=True)
class Request:
    """One request, whatever became of it."""

    region: str
    action: str
    """As in "RunInstances"."""
    params: Mapping[str, str]
    """The literal query parameters, but for Action and Version: "BlockDeviceMapping.1.Ebs.Encrypted" is "true"."""


class Record:
    """Keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        """In the order in which they came; of a great many only the later ones. A test may clear it."""

    def record(self, region: str, action: str, query: Mapping[str, Sequence[str]]) -> None:
        """Keep one."""
        if len(self.requests) >= LIMIT:
            del self.requests[: LIMIT // 2]
        params = {name: values[0] for name, values in query.items() if name not in {"Action", "Version"}}
        self.requests.append(Request(region, action, params))
