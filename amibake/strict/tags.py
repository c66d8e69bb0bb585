"""What EC2 refuses in the tags and the descriptions of a request, all of which moto takes.

The limits are those of https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions; codes and
messages are those that EC2 is seen to answer with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError, EmptyTagSpecError, InvalidTaggableResourceType, TagLimitExceeded

KEY_LIMIT = 128
VALUE_LIMIT = 256
TAG_LIMIT = 50
DESCRIPTION_LIMIT = 255
# by operation; of those that are not here every type is taken
TAGGABLE: Mapping[str, frozenset[str]] = {
    "AllocateAddress": frozenset({"elastic-ip"}),
    "AuthorizeSecurityGroupEgress": frozenset({"security-group-rule"}),
    "AuthorizeSecurityGroupIngress": frozenset({"security-group-rule"}),
    "CopyImage": frozenset({"image", "snapshot"}),
    "CopySnapshot": frozenset({"snapshot"}),
    "CreateFleet": frozenset({"fleet", "instance", "volume", "network-interface"}),
    "CreateImage": frozenset({"image", "snapshot"}),
    "CreateKeyPair": frozenset({"key-pair"}),
    "CreateLaunchTemplate": frozenset({"launch-template"}),
    "CreateNetworkInterface": frozenset({"network-interface"}),
    "CreateSecurityGroup": frozenset({"security-group"}),
    "CreateSnapshot": frozenset({"snapshot"}),
    "CreateSnapshots": frozenset({"snapshot"}),
    "CreateSubnet": frozenset({"subnet"}),
    "CreateVolume": frozenset({"volume"}),
    "CreateVpc": frozenset({"vpc"}),
    "ImportKeyPair": frozenset({"key-pair"}),
    "RegisterImage": frozenset({"image"}),
    "RequestSpotInstances": frozenset({"spot-instances-request"}),
    "RunInstances": frozenset({"instance", "volume", "network-interface", "spot-instances-request"}),
}
DESCRIBING = frozenset({"CopyImage", "CreateImage", "CreateSnapshot", "CreateSnapshots", "RegisterImage"})


def check_request(action: str, params: Mapping[str, Any]) -> None:
    """Raises EC2ClientError where EC2 would refuse the tags or the description with which something is to be made."""
    by_type: dict[str, list[Mapping[str, str]]] = {}
    for specification in params.get("TagSpecifications", ()):
        kind = specification.get("ResourceType", "")
        if kind not in TAGGABLE.get(action, {kind}):
            raise InvalidTaggableResourceType(kind)
        if not specification.get("Tags"):
            raise EmptyTagSpecError
        by_type.setdefault(kind, []).extend(specification["Tags"])
    for tags in by_type.values():
        _check_tags(tags)
    if action == "CreateTags":
        _check_tags(params.get("Tags", ()))
    if action in DESCRIBING:
        check_description(params.get("Description", ""))


def check_count(tags: Mapping[str, str]) -> None:
    """Raises EC2ClientError for more tags than one resource can have."""
    if len(tags) > TAG_LIMIT:
        raise TagLimitExceeded


def _check_tags(tags: Iterable[Mapping[str, str]]) -> None:
    seen: dict[str, str] = {}
    for tag in tags:
        key, value = tag.get("Key", ""), tag.get("Value", "")
        if not key:
            raise _invalid("Tag key must have a value")
        if len(key) > KEY_LIMIT:
            raise _invalid(f"Tag key exceeds the maximum length of {KEY_LIMIT} characters")
        if len(value) > VALUE_LIMIT:
            raise _invalid(f"Tag value exceeds the maximum length of {VALUE_LIMIT} characters")
        if key.startswith("aws:"):
            raise _invalid("Tag keys starting with 'aws:' are reserved for internal use")
        if key in seen:
            raise _invalid(f"Duplicate tag key '{key}' specified.")
        seen[key] = value
    check_count(seen)


def check_description(text: str) -> None:
    """Raises EC2ClientError for a description that is too long or beyond ASCII."""
    invalid = f"Value ({text}) for parameter description is invalid."
    if len(text) > DESCRIPTION_LIMIT:
        raise _invalid(f"{invalid} It exceeds {DESCRIPTION_LIMIT} characters")
    if not text.isascii():
        raise _invalid(f"{invalid} Character sets beyond ASCII are not supported.")


def _invalid(message: str) -> EC2ClientError:
    return EC2ClientError("InvalidParameterValue", message)
