"""What the metadata service has at its paths, and how EC2 lists what is in a directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
VERSIONS = (
    "1.0",
    *("2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01"),
    *("2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20"),
    *("2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01"),
    *("2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15", "2022-09-24", "2024-04-11"),
    "latest",
)


@dataclass(frozen=True)
class Directory:
    """Names with what is behind them.

    Attributes:
        shown: How a listing shows a name, where not as it is (with a slash, for a directory).
    """

    entries: Mapping[str, Node]
    shown: Mapping[str, str] = field(default_factory=dict)

    @property
    def listing(self) -> str:
        """A line for each name, with no newline at the end."""
        names = ((name, f"{name}/" if isinstance(node, Directory) else name) for name, node in self.entries.items())
        return "\n".join(self.shown.get(name, default) for name, default in names)


Node = Directory | str | bytes


@dataclass(frozen=True)
class Metadata:
    """What an instance may ask for, and how it has to ask.

    Attributes:
        top: What is below each version: `meta-data`, `dynamic`, and `user-data` where there is any.
        enabled: HttpEndpoint; where it is off nothing is answered.
        tokens_required: HttpTokens: requests without a token are refused.
        hop_limit: HttpPutResponseHopLimit: how many hops a token may travel.
    """

    instance_id: str
    top: Directory
    enabled: bool = True
    tokens_required: bool = False
    hop_limit: int = 1

    def find(self, path: str) -> bytes | None:
        """What is at a path, a directory being its listing; None for nothing. All versions show the same."""
        node: Node = _unslashed(dict.fromkeys(VERSIONS, self.top))
        for name in filter(None, unquote(path).split("/")):
            if not isinstance(node, Directory) or name not in node.entries:
                return None
            node = node.entries[name]
            if node is self.top:
                node = _unslashed(node.entries)
        if isinstance(node, Directory):
            node = node.listing
        return node.encode() if isinstance(node, str) else node


def _unslashed(entries: Mapping[str, Node]) -> Directory:
    """The two uppermost levels are listed without slashes."""
    return Directory(entries, {name: name for name in entries})
