"""paramiko, for this package: loaded without what amibake does not use of it."""

from __future__ import annotations

from amibake.loading import later

with later("invoke") as invoke:  # a task runner, for `Match exec` in a user's ssh_config, which is never read here
    import paramiko
    from paramiko import common
    from paramiko import config as _config
    from paramiko.pkey import PublicBlob

__all__ = ["PublicBlob", "common", "paramiko"]

if invoke is not None:
    vars(_config)["invoke"] = invoke  # for the program, which may read one
