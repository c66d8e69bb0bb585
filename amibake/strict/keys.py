"""KMS keys, as far as volumes, snapshots and images name them."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.kms.models import kms_backends

EBS_ALIAS = "alias/aws/ebs"


def default_key(backend: Any) -> str:
    """The ARN of the key that EC2 takes where none is named: aws/ebs, unless the account has set another."""
    if not backend.default_kms_key_id:
        backend.modify_ebs_default_kms_key_id("")
    key: str = backend.default_kms_key_id
    return key


def is_aws_managed(backend: Any, key: str | None) -> bool:
    """Whether this is aws/ebs, by whatever name: other accounts cannot use what it has encrypted."""
    if not key or key.endswith(EBS_ALIAS):
        return True
    kms = kms_backends[backend.account_id][backend.region_name]
    return bool(kms.alias_exists(EBS_ALIAS)) and key.endswith(kms.describe_key(EBS_ALIAS).id)


def is_elsewhere(backend: Any, key: str | None) -> bool:
    """Whether this is the ARN of a key in another region, with which nothing can be encrypted here."""
    return bool(key and key.startswith("arn:") and key.split(":")[3] != backend.region_name)


def check_dependency(request: dict[str, Any]) -> None:
    """Refuses a KmsKeyId without Encrypted=true."""
    if request.get("KmsKeyId") and not request.get("Encrypted"):
        message = "The parameter KmsKeyId requires the parameter Encrypted to be set."
        raise EC2ClientError("InvalidParameterDependency", message)
