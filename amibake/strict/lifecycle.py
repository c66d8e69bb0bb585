"""What is decided of an image later: when it counts as deprecated, and its protection from deregistration.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html and ami-deregistration-protection.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend

COOLDOWN = timedelta(hours=24)
LONGEST = timedelta(days=3653)
LONGEST_OF_PUBLIC = timedelta(days=731)
DATE = "%Y-%m-%dT%H:%M:00.000Z"


@dataclass(frozen=True)
class Protection:
    """Whether an image can be deregistered."""

    on: bool = False
    with_cooldown: bool = False
    until: datetime | None = None
    """The end of the cooldown, once the protection was disabled."""

    @property
    def shown(self) -> str:
        """In EC2's words. During the cooldown it is disabled already."""
        if not self.on:
            return "disabled"
        return "enabled-with-cooldown" if self.with_cooldown else "enabled-without-cooldown"

    def disabled(self, now: datetime) -> Protection:
        """After DisableImageDeregistrationProtection."""
        if not self.on:
            return self
        return Protection(until=now + COOLDOWN if self.with_cooldown else None)

    def check(self, image_id: str, now: datetime) -> None:
        """Raises OperationNotPermitted while the image cannot be deregistered."""
        if self.on:
            message = f"The image {image_id} is protected from deregistration. Disable the protection first."
            raise EC2ClientError("OperationNotPermitted", message)
        if self.until and now < self.until:
            message = f"The image {image_id} is protected from deregistration until {self.until:{DATE}} (cooldown)."
            raise EC2ClientError("OperationNotPermitted", message)


class Lifecycle(EC2Backend):
    """Deprecation and protection of the images of one account in one region."""

    def deprecate_image(self, image_id: str, at: datetime) -> None:
        """At a date in UTC, to the minute. Refuses one in the past or too far off."""
        image, now = self.own_image(image_id), self.world.now()
        at = (at.replace(tzinfo=UTC) + timedelta(seconds=30)).replace(second=0, microsecond=0)
        created = image.creation_date.replace(tzinfo=UTC)
        latest = created + LONGEST_OF_PUBLIC if image.is_public else now + LONGEST
        if at < now or at > latest:
            wrong = "is in the past" if at < now else f"is later than {latest:{DATE}}"
            message = f"Value ({at:{DATE}}) for parameter deprecateAt is invalid. The date {wrong}."
            raise EC2ClientError("InvalidParameterValue", message)
        image.deprecate_at = at

    def undeprecate_image(self, image_id: str) -> None:
        """Without a date it is never deprecated."""
        self.own_image(image_id).deprecate_at = None

    def protect_image(self, image_id: str, *, with_cooldown: bool) -> str:
        """Protect an image from deregistration; answers with what DescribeImages shows then."""
        image = self.own_image(image_id)
        image.protection = Protection(on=True, with_cooldown=with_cooldown)
        return str(image.protection.shown)

    def unprotect_image(self, image_id: str) -> str:
        """Let it be deregistered, after the cooldown if it has one; answers with what DescribeImages shows then."""
        image = self.own_image(image_id)
        image.protection = image.protection.disabled(self.world.now())
        return str(image.protection.shown)


def shown_to(account: str, images: list[Any], now: datetime) -> list[Any]:
    """Without the images that are deprecated, but for the account's own."""
    return [
        image for image in images if image.owner_id == account or not image.deprecate_at or image.deprecate_at > now
    ]
