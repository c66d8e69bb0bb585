"""amibake bakes EC2 machine images from Python: Packer's amazon-ebs flow without Packer.

Importing it loads no third-party module: the names below are found when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from amibake._version import __version__ as __version__

if TYPE_CHECKING:
    from amibake.builder import DEBIAN_12 as DEBIAN_12
    from amibake.builder import DEBIAN_13 as DEBIAN_13
    from amibake.builder import UBUNTU_24_04 as UBUNTU_24_04
    from amibake.builder import AssumeRole as AssumeRole
    from amibake.builder import BlockDevice as BlockDevice
    from amibake.builder import Builder as Builder
    from amibake.builder import DeregistrationProtection as DeregistrationProtection
    from amibake.builder import ImageFilter as ImageFilter
    from amibake.builder import MetadataOptions as MetadataOptions
    from amibake.builder import Placement as Placement
    from amibake.builder import SubnetFilter as SubnetFilter
    from amibake.errors import AmibakeError as AmibakeError
    from amibake.errors import AuthenticationFailed as AuthenticationFailed
    from amibake.errors import BakesFailed as BakesFailed
    from amibake.errors import ConnectionLost as ConnectionLost
    from amibake.errors import HostKeyChanged as HostKeyChanged
    from amibake.errors import ImageFailed as ImageFailed
    from amibake.errors import InvalidOption as InvalidOption
    from amibake.errors import NoCapacity as NoCapacity
    from amibake.errors import NotAuthorized as NotAuthorized
    from amibake.errors import SandboxUnavailable as SandboxUnavailable
    from amibake.errors import ScriptFailed as ScriptFailed
    from amibake.errors import SourceImageNotFound as SourceImageNotFound
    from amibake.errors import SSHTimeout as SSHTimeout
    from amibake.errors import UploadFailed as UploadFailed
    from amibake.errors import WaitTimeout as WaitTimeout
    from amibake.flow import bake as bake
    from amibake.host import Host as Host
    from amibake.host import Provisioner as Provisioner
    from amibake.image import Image as Image
    from amibake.images import find_image as find_image
    from amibake.images import find_images as find_images
    from amibake.inner_loop import provision as provision
    from amibake.instance import Instance as Instance
    from amibake.instance import launch as launch
    from amibake.interrupts import Interrupted as Interrupted
    from amibake.permissions import policy as policy
    from amibake.provisioners import Breakpoint as Breakpoint
    from amibake.provisioners import File as File
    from amibake.provisioners import Reboot as Reboot
    from amibake.provisioners import Shell as Shell
    from amibake.provisioners import ShellLocal as ShellLocal
    from amibake.provisioners import Step as Step
    from amibake.provisioners import WaitForCloudInit as WaitForCloudInit
    from amibake.recipes import build_carnivore as build_carnivore
    from amibake.recipes import build_primal as build_primal
    from amibake.secret import Secret as Secret
    from amibake.sweeping import Sweep as Sweep
    from amibake.sweeping import sweep as sweep
    from amibake.together import bake_all as bake_all

_ERRORS = (
    "AmibakeError",
    "AuthenticationFailed",
    "BakesFailed",
    "ConnectionLost",
    "HostKeyChanged",
    "ImageFailed",
    "InvalidOption",
    "NoCapacity",
    "NotAuthorized",
    "SSHTimeout",
    "SandboxUnavailable",
    "ScriptFailed",
    "SourceImageNotFound",
    "UploadFailed",
    "WaitTimeout",
)
_OPTIONS = (
    "DEBIAN_12",
    "DEBIAN_13",
    "UBUNTU_24_04",
    "AssumeRole",
    "BlockDevice",
    "Builder",
    "DeregistrationProtection",
    "ImageFilter",
    "MetadataOptions",
    "Placement",
    "SubnetFilter",
)
_PROVISIONERS = ("Breakpoint", "File", "Reboot", "Shell", "ShellLocal", "Step", "WaitForCloudInit")
_HOMES = {
    **dict.fromkeys(_ERRORS, "errors"),
    **dict.fromkeys(_OPTIONS, "builder"),
    **dict.fromkeys(_PROVISIONERS, "provisioners"),
    **dict.fromkeys(("Host", "Provisioner"), "host"),
    **dict.fromkeys(("Instance", "launch"), "instance"),
    **dict.fromkeys(("build_carnivore", "build_primal"), "recipes"),
    **dict.fromkeys(("Sweep", "sweep"), "sweeping"),
    "Image": "image",
    "Interrupted": "interrupts",
    "Secret": "secret",
    "bake": "flow",
    "bake_all": "together",
    "find_image": "images",
    "find_images": "images",
    "policy": "permissions",
    "provision": "inner_loop",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - all of them are strings


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'amibake' has no attribute {name!r}")
    from amibake.loading import undisturbed

    with undisturbed():
        value: object = getattr(import_module(f"amibake.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
