"""One script: its text as the builder gets it, and how that is run there."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from amibake.remote import relative_to_login

_BOM = b"\xef\xbb\xbf"
_PROGRAM = b"\x7fELF"

_VARIABLE = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


@dataclass(frozen=True)
class Script:
    """What is to be run; `name` is what errors call it."""

    name: str
    data: bytes

    def command(self, path: str, template: str | None = None) -> str:
        """What runs it once it is at `path`: what its `#!` line says, without which the login shell does.

        The interpreter is called by us and not by the kernel, as `path` may be on a file system that is mounted noexec.
        `template` is another way, with `{{.Path}}` in it.
        """
        where = shlex.quote(relative_to_login(path))
        if template is not None:
            values = {"Path": where, "Vars": ""}
            return _VARIABLE.sub(lambda match: values[match[1]], template)
        if self.data.startswith(_PROGRAM):
            return f"exec {where}"
        words = self.interpreter()
        return f"exec {shlex.join(words)} {where}" if words else f'exec "${{SHELL:-/bin/sh}}" {where}'

    def interpreter(self) -> list[str]:
        """What is after the `#!`: a program and at most one argument, since Linux makes one of all that follows."""
        first = self.data.partition(b"\n")[0]
        if not first.startswith(b"#!"):
            return []
        words = re.split("[ \t]+", first[2:].strip(b" \t").decode("utf-8", "surrogateescape"), maxsplit=1)
        return words if words != [""] else []


def script_of(name: str, data: bytes, *, binary: bool) -> Script:
    """A script's file, where it is not `binary` with line ends as Unix has them and without a byte order mark."""
    if binary or data.startswith(_PROGRAM):
        return Script(name, data)
    return Script(name, data.removeprefix(_BOM).replace(b"\r\n", b"\n"))


def template_mistakes(template: str, *, has_variables: bool) -> list[str]:
    """What is wrong with an `execute_command`."""
    used = set(_VARIABLE.findall(template))
    mistakes = []
    if "Path" not in used:
        mistakes.append("has no {{.Path}}, so the script would not be run")
    if "EnvVarFile" in used:
        mistakes.append("{{.EnvVarFile}}: values are never in a file here, the script has them without")
    unknown = sorted(used - {"Path", "Vars", "EnvVarFile"})
    mistakes += [f"{{{{.{name}}}}} is unknown; there are {{{{.Path}}}} and {{{{.Vars}}}}" for name in unknown]
    keeps = re.search(r"\bsudo\b.*?\s(-[A-Za-z]*E|--preserve-env)", template, re.DOTALL)
    if has_variables and re.search(r"\bsudo\b", template) and not keeps:
        mistakes.append("sudo drops the variables: give sudo=True in place of this, or call it as sudo -E")
    return mistakes
