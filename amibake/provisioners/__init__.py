"""What is done on a builder, and around it.

`File` moves files, `Shell` runs something there and `ShellLocal` here, `Reboot` restarts the builder,
`WaitForCloudInit` waits for the end of its first boot, and `Breakpoint` for somebody who wants to have a look. All of
them have the options of `Step`.
"""

from amibake.provisioners.breakpoint import Breakpoint
from amibake.provisioners.cloudinit import WaitForCloudInit
from amibake.provisioners.common import Step
from amibake.provisioners.file import File
from amibake.provisioners.local import ShellLocal
from amibake.provisioners.reboot import Reboot
from amibake.provisioners.shell import Shell

__all__ = ["Breakpoint", "File", "Reboot", "Shell", "ShellLocal", "Step", "WaitForCloudInit"]
