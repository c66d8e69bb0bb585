"""How the builder is reached."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from amibake.builder.base import Group, OneOrMore
from amibake.builder.values import Seconds

USER = r"^[A-Za-z_][A-Za-z0-9_.@-]*\$?$"
HOST = r"^[A-Za-z0-9_:][A-Za-z0-9._:%-]*$"
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9@._-]+$")]
Port = Annotated[int, Field(ge=1, le=65535)]


def _is_no_session(value: Any) -> Any:
    if value == "session_manager":
        raise ValueError(
            '"session_manager" is ssh_proxy_command here, with the Session Manager\'s own command, and '
            'ssh_interface="instance_id"'
        )
    return value


Interface = Annotated[
    Literal["public_ip", "private_ip", "public_dns", "private_dns", "ipv6", "instance_id"] | None,
    BeforeValidator(_is_no_session),
]


HOST_KEY = r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]{40,}={0,2}( .*)?"
FINGERPRINT = r"SHA256:[A-Za-z0-9+/]{43}"


def _is_host_key(value: Any) -> Any:
    words = ("first-use", "inject")
    if value in words or (isinstance(value, str) and re.fullmatch(f"{HOST_KEY}|{FINGERPRINT}", value)):
        return value
    raise ValueError(
        'has to be "first-use", "inject", a public host key such as "ssh-ed25519 AAAA…", or its fingerprint, '
        '"SHA256:…" with 43 more characters'
    )


class SSH(Group):
    """SSH: how the builder is reached."""

    communicator: Literal["ssh", "none"] = "ssh"
    """"none" for a builder that is not logged in to: its user data does the work, there are no provisioners, and
    nothing is sealed."""

    ssh_username: str = Field("admin", pattern=USER)
    """The user to log in as: "admin" on Debian's images, "ubuntu" on Ubuntu's, "ec2-user" on Amazon's."""

    ssh_host: str | None = Field(None, pattern=HOST)
    """The name or address to connect to [the one that EC2 gives]."""

    ssh_port: Port = 22
    """The port that the builder's SSH server listens on."""

    ssh_interface: Interface = None
    """Which of the builder's addresses to connect to; "instance_id" for a proxy command that finds it by that, as
    those of the Session Manager and of EC2 Instance Connect do. [the public address where there is one, else the
    private one; behind a bastion the private one]"""

    ssh_timeout: Seconds = Field(300, gt=0, le=86400)
    """Seconds, or text such as "10m", from the moment the builder has an address until we are logged in."""

    ssh_host_key: Annotated[str, BeforeValidator(_is_host_key)] = "first-use"
    """Which SSH host key the builder has to show. "first-use": whichever it shows first; every connection after that
    one must show the same. "inject": one that is made here and given to the builder by user data, so that not even the
    first connection can be to somebody else; the image must have cloud-init. Whoever may read the builder's user data,
    every process on it included unless it is kept from the metadata service, can read that key's private half while the
    builder lives; it is good for nothing else, and gets into no image. A public key, "ssh-ed25519 AAAA…", or its
    fingerprint, "SHA256:…": the one that the image or your own user data brings."""

    ssh_private_key_file: Path | None = None
    """A private key that the image lets in already; no temporary key pair is made. With `ssh_agent_auth` and
    `ssh_password` each is tried, in this order [a temporary one]."""

    ssh_certificate_file: Path | None = None
    """An OpenSSH certificate of `ssh_private_key_file` [none]."""

    ssh_keypair_name: str | None = Field(None, min_length=1)
    """The EC2 key pair to launch with, whose private half is `ssh_private_key_file` or in the agent [none]."""

    ssh_agent_auth: bool = False
    """Log in with the keys of the local SSH agent; no temporary key pair is made. The agent is never forwarded."""

    ssh_password: str | None = Field(None, min_length=1, repr=False)
    """A password that the image lets in with; no temporary key pair is made [none]."""

    temporary_key_pair_type: Literal["ed25519", "rsa"] = "ed25519"
    """The kind of the temporary key pair. SSH servers older than OpenSSH 6.5 (2014) know only "rsa"."""

    temporary_key_pair_bits: Literal[2048, 3072, 4096] | None = None
    """The size of a temporary "rsa" key pair [2048]."""

    temporary_key_pair_name: str | None = Field(None, min_length=1, max_length=255)
    """What the temporary key pair is called in the account ["amibake_" and the bake's id]."""

    ssh_bastion_host: str | None = Field(None, pattern=HOST)
    """The name or address of the machine through which the builder is reached [none]."""

    ssh_bastion_port: Port = 22
    """The port of the bastion's SSH server."""

    ssh_bastion_username: str | None = Field(None, pattern=USER)
    """The user to log in as at the bastion [`ssh_username`]."""

    ssh_bastion_private_key_file: Path | None = None
    """The private key for the bastion [`ssh_private_key_file`]."""

    ssh_bastion_certificate_file: Path | None = None
    """An OpenSSH certificate of `ssh_bastion_private_key_file` [none]."""

    ssh_bastion_agent_auth: bool = False
    """Log in to the bastion with the keys of the local SSH agent."""

    ssh_bastion_password: str | None = Field(None, min_length=1, repr=False)
    """The password for the bastion [none]."""

    ssh_proxy_command: str | None = Field(None, min_length=1, repr=False)
    """A local command whose input and output are the connection to the builder, as OpenSSH's ProxyCommand: %h is its
    address, %p the port, %r the user. For the Session Manager: "aws ssm start-session --target %h --document-name
    AWS-StartSSHSession --parameters portNumber=%p" with ssh_interface="instance_id" [none]."""

    ssh_keep_alive_interval: Seconds = 5.0
    """Seconds, or text such as "5s", between two questions whether the builder is still there; 24 s after the first
    that is not answered it counts as lost. Negative, such as "-5s": none are asked."""

    ssh_ciphers: Annotated[tuple[Word, ...], OneOrMore] = ()
    """Which ciphers to use, the best first [those of the SSH library]."""

    ssh_key_exchange_algorithms: Annotated[tuple[Word, ...], OneOrMore] = ()
    """Which key exchanges to use, the best first [those of the SSH library]."""


_WAYS = ("ssh_private_key_file", "ssh_agent_auth", "ssh_password")
_BASTION_WAYS = ("ssh_bastion_private_key_file", "ssh_bastion_agent_auth", "ssh_bastion_password")


def ssh_mistakes(options: SSH) -> Iterator[str]:
    """What contradicts itself."""
    ways = [name for name in _WAYS if getattr(options, name)]
    temporary = options.model_fields_set & {name for name in SSH.model_fields if name.startswith("temporary_key")}
    if ways and temporary:
        yield f"{min(temporary)}: there is no temporary key pair with {ways[0]}"
    if options.temporary_key_pair_bits is not None and options.temporary_key_pair_type != "rsa":
        yield 'temporary_key_pair_bits: for temporary_key_pair_type="rsa" only'
    if options.ssh_certificate_file and not options.ssh_private_key_file:
        yield "ssh_certificate_file: needs ssh_private_key_file"
    if options.ssh_keypair_name and not (options.ssh_private_key_file or options.ssh_agent_auth):
        yield "ssh_keypair_name: needs ssh_private_key_file or ssh_agent_auth"
    for name in ("ssh_private_key_file", "ssh_certificate_file"):
        yield from _file_mistakes(name, getattr(options, name))
    yield from _way_mistakes(options)
    yield from _bastion_mistakes(options)


def _way_mistakes(options: SSH) -> Iterator[str]:
    if options.ssh_interface == "instance_id" and not options.ssh_proxy_command:
        yield 'ssh_interface: "instance_id" needs an ssh_proxy_command that finds the builder by it'
    if options.ssh_keep_alive_interval == 0:
        yield "ssh_keep_alive_interval: has to be more than 0, or negative for never"
    if options.ssh_host and options.ssh_interface:
        yield "ssh_host: give either this or ssh_interface"


def _bastion_mistakes(options: SSH) -> Iterator[str]:
    if not options.ssh_bastion_host:
        for name in sorted(options.model_fields_set):
            if name.startswith("ssh_bastion_") and getattr(options, name):
                yield f"{name}: needs ssh_bastion_host"
        return
    if options.ssh_proxy_command:
        yield "ssh_bastion_host: give either this or ssh_proxy_command"
    ways = [name for name in _BASTION_WAYS if getattr(options, name)]
    if not ways and not options.ssh_private_key_file:
        yield f"ssh_bastion_host: how to log in there? Give one of {', '.join(_BASTION_WAYS)}"
    if options.ssh_bastion_certificate_file and not options.ssh_bastion_private_key_file:
        yield "ssh_bastion_certificate_file: needs ssh_bastion_private_key_file"
    for name in ("ssh_bastion_private_key_file", "ssh_bastion_certificate_file"):
        yield from _file_mistakes(name, getattr(options, name))


def _file_mistakes(name: str, path: Path | None) -> Iterator[str]:
    if path is not None and "PRIVATE KEY-----" in str(path):
        yield f"{name}: has to be the path of a file, not what is in it"
    elif path is not None and not path.expanduser().is_file():
        yield f"{name}: {path} is not a file"
