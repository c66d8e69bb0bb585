"""How many virtual CPUs the account may still have running of the builder's kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from amibake.ec2.cloud import Cloud

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html#ec2-on-demand-instances-limits and
# using-spot-limits.html; the letters of the types, and the codes of the quotas on demand and for spot
_STANDARD = ("L-1216C47A", "L-34B43A08")
_CODES = {
    **dict.fromkeys("acdhimrtz", _STANDARD),
    "dl": ("L-6E869C2A", "L-85EED4F7"),
    "f": ("L-74FC7D96", "L-88CF9481"),
    "g": ("L-DB2E81BA", "L-3819A6DF"),
    "hpc": ("L-F7808C92", ""),
    "inf": ("L-1945791B", "L-B5D1601B"),
    "mac": ("", ""),
    "p": ("L-417A185B", "L-7212CCBC"),
    "trn": ("L-2C3B7624", "L-6B0D517C"),
    "u": ("L-43DA4232", ""),
    "vt": ("L-DB2E81BA", "L-3819A6DF"),
    "x": ("L-7295265B", "L-E3A00192"),
}


@dataclass(frozen=True)
class Quota:
    """What a quota of virtual CPUs leaves for a builder.

    Attributes:
        name: As AWS calls it.
        code: As Service Quotas knows it.
        limit: How many may run.
        used: How many do.
        wanted: How many the builder takes.
    """

    name: str
    code: str
    limit: int
    used: int
    wanted: int

    @property
    def is_enough(self) -> bool:
        """Whether there is room for the builder."""
        return self.used + self.wanted <= self.limit


def quota_code(instance_type: str, *, spot: bool) -> str:
    """The code of the quota that the type counts against; "" where it is not one of virtual CPUs."""
    letters = re.match("[a-z]*", instance_type)
    family = letters[0] if letters else ""
    codes = _CODES.get(family) or _CODES.get(family[:1], ("", ""))
    return codes[1] if spot else codes[0]


def find_quota(cloud: Cloud, instance_type: str, *, spot: bool) -> Quota | None:
    """What is left for one instance of this type, or None where it counts against no quota of this kind.

    Raises:
        AmibakeError: Service Quotas does not say.
    """
    code = quota_code(instance_type, spot=spot)
    if not code:
        return None
    quotas = cloud.clients.service("service-quotas", cloud.region)
    quota = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]
    return Quota(
        name=quota.get("QuotaName", code),
        code=code,
        limit=int(quota["Value"]),
        used=_used(cloud, code, spot=spot),
        wanted=_default(cloud, instance_type),
    )


def _used(cloud: Cloud, code: str, *, spot: bool) -> int:
    """The virtual CPUs that run now and count against this quota."""
    used, more = 0, dict[str, str]()
    running: Any = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    while True:
        answer: Any = cloud.ec2.describe_instances(Filters=running, MaxResults=1000, **more)  # type: ignore[arg-type]
        for one in (instance for found in answer["Reservations"] for instance in found["Instances"]):
            is_spot = one.get("InstanceLifecycle") == "spot"
            if is_spot == spot and quota_code(one["InstanceType"], spot=spot) == code:
                cores: Any = one.get("CpuOptions", {})
                each = cores.get("CoreCount", 0) * cores.get("ThreadsPerCore", 0)
                used += each or _default(cloud, one["InstanceType"])
        if not answer.get("NextToken"):
            return used
        more = {"NextToken": answer["NextToken"]}


def _default(cloud: Cloud, instance_type: str) -> int:
    """How many virtual CPUs an instance of this type has where nothing else is asked for."""
    types: Any = [instance_type]
    (found,) = cloud.ec2.describe_instance_types(InstanceTypes=types)["InstanceTypes"]
    return found.get("VCpuInfo", {}).get("DefaultVCpus", 1)
