"""Packer's options that have another name here, or none: what somebody who writes one is told.

docs/coming-from-packer.md has the same with more words; a test keeps the two in step.
"""

from __future__ import annotations

_SESSION = "give `bake` a session= with such credentials"
_BOTO = "it is boto3's own: set {}, or give `bake` a session="
_WINDOWS = "it is for Windows"
_WINRM = ("host", "insecure", "no_proxy", "password", "port", "timeout", "use_ntlm", "use_ssl", "username")

ELSEWHERE = {
    "ami_virtualization_type": "the source image's is what the image gets",
    "aws_polling": "max_build_time is the limit of every wait",
    "block_duration_minutes": "EC2 no longer has it",
    "custom_endpoint_ec2": _BOTO.format("AWS_ENDPOINT_URL_EC2"),
    "decode_authorization_messages": "they are always decoded where sts allows it",
    "enable_t2_unlimited": "it is enable_unlimited_credits",
    "fast_launch": _WINDOWS,
    "insecure_skip_tls_verify": _BOTO.format("AWS_CA_BUNDLE"),
    "mfa_code": _SESSION,
    "no_ephemeral": _WINDOWS,
    "pause_before_connecting": "nothing needs it: a provisioner can wait for what it needs",
    "pause_before_ssm": 'the Session Manager is reached by ssh_proxy_command and ssh_interface="instance_id"',
    "run_tag": "it is run_tags, a dict",
    "run_volume_tag": "it is run_volume_tags, a dict",
    "session": "it is an argument of `bake`, `build_primal` and `build_carnivore`",
    "session_manager_port": 'the Session Manager is reached by ssh_proxy_command and ssh_interface="instance_id"',
    "shared_credentials_file": _BOTO.format("AWS_SHARED_CREDENTIALS_FILE"),
    "skip_ami_run_tags": "run_tags never reach the image",
    "skip_credential_validation": "nothing of the kind is done",
    "skip_metadata_api_check": "nothing of the kind is done",
    "skip_profile_validation": "nothing of the kind is done: EC2 says so itself at the launch",
    "skip_region_validation": "nothing of the kind is done",
    "snapshot_tag": "it is snapshot_tags, a dict",
    "spot_price_auto_product": "EC2 no longer has it",
    "ssh_bastion_interactive": "nobody is there to answer",
    "ssh_clear_authorized_keys": "the bake's key is always taken out of the image",
    "ssh_disable_agent_forwarding": "the agent is never forwarded",
    "ssh_file_transfer_method": "every upload is one verified stream",
    "ssh_handshake_attempts": "ssh_timeout is the limit",
    "ssh_local_tunnels": "there are no tunnels",
    "ssh_proxy_host": "it is part of ssh_proxy_command",
    "ssh_proxy_password": "it is part of ssh_proxy_command",
    "ssh_proxy_port": "it is part of ssh_proxy_command",
    "ssh_proxy_username": "it is part of ssh_proxy_command",
    "ssh_pty": "sudo needs no terminal, and one would spoil what is sent up",
    "ssh_read_write_timeout": "a dead builder is noticed by ssh_keep_alive_interval",
    "ssh_remote_tunnels": "there are no tunnels",
    "ssh_wait_timeout": "it is ssh_timeout",
    "tag": "it is tags, a dict",
    "tenancy": "it is placement={'tenancy': …}",
    "vault_aws_engine": _SESSION,
    "windows_password_timeout": _WINDOWS,
    **{f"winrm_{name}": _WINDOWS for name in _WINRM},
}
