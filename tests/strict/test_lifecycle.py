"""Deprecation and deregistration protection of images."""

from __future__ import annotations

from typing import Any

import pytest

DAY = 86_400


def shown(cloud: Any, **request: Any) -> list[str]:
    return [image["ImageId"] for image in cloud.ec2.describe_images(**request)["Images"]]


class TestDeprecation:
    def test_is_shown_to_the_minute_until_it_is_disabled(self, cloud: Any) -> None:
        image = cloud.bake()
        assert "DeprecationTime" not in cloud.describe_image(image)
        answer = cloud.ec2.enable_image_deprecation(ImageId=image, DeprecateAt="2026-06-01T10:20:40Z")
        assert answer["Return"] is True
        assert cloud.describe_image(image)["DeprecationTime"] == "2026-06-01T10:21:00.000Z"
        cloud.ec2.enable_image_deprecation(ImageId=image, DeprecateAt="2026-07-01T02:00:00+02:00")
        assert cloud.describe_image(image)["DeprecationTime"] == "2026-07-01T00:00:00.000Z"
        assert cloud.ec2.disable_image_deprecation(ImageId=image)["Return"] is True
        assert "DeprecationTime" not in cloud.describe_image(image)

    @pytest.mark.parametrize("date", ["2025-12-31T23:00:00Z", "2036-02-01T00:00:00Z"])
    def test_refuses_dates_in_the_past_or_too_far_off(self, cloud: Any, date: str) -> None:
        image = cloud.bake()
        refused = cloud.refusal("enable_image_deprecation", ImageId=image, DeprecateAt=date)
        assert refused[0] == "InvalidParameterValue"
        assert "DeprecationTime" not in cloud.describe_image(image)

    def test_refuses_what_is_no_date(self, cloud: Any) -> None:
        image = cloud.bake()
        event = "before-call.ec2.EnableImageDeprecation"

        def spoil(params: Any, **_: Any) -> None:
            params["body"]["DeprecateAt"] = "soon"

        cloud.ec2.meta.events.register(event, spoil)
        try:
            refused = cloud.refusal("enable_image_deprecation", ImageId=image, DeprecateAt="2026-06-01T00:00:00Z")
        finally:
            cloud.ec2.meta.events.unregister(event, spoil)
        assert refused[0] == "InvalidParameterValue"
        assert "soon" in refused[1]

    def test_hides_an_image_from_all_but_its_owner(self, cloud: Any) -> None:
        old = cloud.strict.add_image(name="old", owner_id="136693071363", deprecated=True)
        mine = cloud.bake()
        cloud.ec2.enable_image_deprecation(ImageId=mine, DeprecateAt="2026-01-02T00:00:00Z")
        cloud.shop.now += 2 * DAY
        assert set(shown(cloud)) == {cloud.image, mine}
        assert set(shown(cloud, IncludeDeprecated=True)) == {cloud.image, mine, old}
        assert shown(cloud, ImageIds=[old]) == [old]
        assert cloud.run(ImageId=old)

    def test_is_for_owners(self, cloud: Any) -> None:
        date = "2026-06-01T00:00:00Z"
        assert cloud.refusal("enable_image_deprecation", ImageId=cloud.image, DeprecateAt=date)[0] == "AuthFailure"
        assert cloud.refusal("disable_image_deprecation", ImageId=cloud.image)[0] == "AuthFailure"
        missing = "ami-0123456789abcdef0"
        assert cloud.refusal("disable_image_deprecation", ImageId=missing)[0] == "InvalidAMIID.NotFound"


class TestProtection:
    def test_keeps_an_image_from_being_deregistered(self, cloud: Any) -> None:
        image = cloud.bake()
        assert cloud.describe_image(image)["DeregistrationProtection"] == "disabled"
        answer = cloud.ec2.enable_image_deregistration_protection(ImageId=image)
        assert answer["Return"] == "enabled-without-cooldown"
        assert cloud.describe_image(image)["DeregistrationProtection"] == "enabled-without-cooldown"
        code, message = cloud.refusal("deregister_image", ImageId=image)
        assert code == "OperationNotPermitted"
        assert image in message
        assert cloud.ec2.disable_image_deregistration_protection(ImageId=image)["Return"] == "disabled"
        cloud.ec2.deregister_image(ImageId=image)
        assert cloud.refusal("describe_images", ImageIds=[image])[0] == "InvalidAMIID.NotFound"

    def test_lasts_a_day_longer_with_cooldown(self, cloud: Any) -> None:
        image = cloud.bake()
        answer = cloud.ec2.enable_image_deregistration_protection(ImageId=image, WithCooldown=True)
        assert answer["Return"] == "enabled-with-cooldown"
        attribute = cloud.ec2.describe_image_attribute(ImageId=image, Attribute="deregistrationProtection")
        assert attribute["DeregistrationProtection"] == {"Value": "enabled-with-cooldown"}
        cloud.ec2.disable_image_deregistration_protection(ImageId=image)
        assert cloud.describe_image(image)["DeregistrationProtection"] == "disabled"
        cloud.shop.now += DAY - 10
        cloud.ec2.disable_image_deregistration_protection(ImageId=image)
        assert cloud.refusal("deregister_image", ImageId=image)[0] == "OperationNotPermitted"
        cloud.shop.now += 10
        assert cloud.ec2.deregister_image(ImageId=image)["Return"] is True

    def test_is_for_owners(self, cloud: Any) -> None:
        for operation in ("enable_image_deregistration_protection", "disable_image_deregistration_protection"):
            assert cloud.refusal(operation, ImageId=cloud.image)[0] == "AuthFailure"


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("enable_image_deprecation", {"DeprecateAt": "2026-06-01T00:00:00Z"}),
        ("disable_image_deprecation", {}),
        ("enable_image_deregistration_protection", {}),
        ("disable_image_deregistration_protection", {}),
        ("modify_image_attribute", {"Description": {"Value": "x"}}),
        ("modify_image_attribute", {"LaunchPermission": {"Add": [{"Group": "all"}]}}),
        ("describe_image_attribute", {"Attribute": "description"}),
        ("reset_image_attribute", {"Attribute": "launchPermission"}),
    ],
)
def test_dry_runs_change_nothing(cloud: Any, operation: str, request_: dict[str, Any]) -> None:
    image = cloud.bake()
    before = cloud.describe_image(image)
    assert cloud.refusal(operation, ImageId=image, DryRun=True, **request_)[0] == "DryRunOperation"
    assert cloud.describe_image(image) == before
