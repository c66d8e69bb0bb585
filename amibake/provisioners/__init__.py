"""What is done on a builder: `File` puts something there, `Shell` runs something."""

from amibake.provisioners.file import File
from amibake.provisioners.shell import Shell

__all__ = ["File", "Shell"]
