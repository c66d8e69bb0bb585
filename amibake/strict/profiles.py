"""IAM instance profiles: EC2 gets to know them some time after IAM has made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.iam.models import iam_backends


class Profiles(EC2Backend):
    """What EC2 knows of the instance profiles of one account."""

    def find_profile(self, named: Mapping[str, str] | None) -> Any:
        """The profile that a launch names by Name or Arn, or None for none. Refuses one that is not there, that has
        no role, or that EC2 has been asked for only just: see `StrictEC2.profile_delay`."""
        if not named:
            return None
        field, value = next(iter(named.items()))
        profiles = iam_backends[self.account_id][self.partition].instance_profiles.values()
        found = next((each for each in profiles if value == (each.name if field == "Name" else each.arn)), None)
        if not found or not self.world.knows_profile(found.id):
            message = f"Value ({value}) for parameter iamInstanceProfile.{field.lower()} is invalid. "
            raise EC2ClientError("InvalidParameterValue", f"{message}Invalid IAM Instance Profile {field.lower()}")
        if not found.roles:
            message = f'IAM Instance Profile "{found.arn}" has no associated IAM Roles'
            raise EC2ClientError("InvalidParameterValue", message)
        return found

    def use_profile(self, instance: Any, profile: Any) -> None:
        """Let the instance have it."""
        self.associate_iam_instance_profile(instance.id, iam_instance_profile_arn=profile.arn)
        instance.iam_instance_profile = {"Arn": profile.arn, "Id": profile.id}
