"""What is called as ours would be, but is somebody else's: an error, and nothing that we touch.

It is there when a call is repeated of which the answer was lost, so that it looks like what the first try has made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError

from amibake.errors import AmibakeError
from amibake.testing import Place
from tests.faults.injection import Call, Faults, Placed, Placement, injected
from tests.faults.outcome import ec2, images, left, remove_images
from tests.faults.scenarios import PLAIN, PROFILE, SPOT, Scenario


def somebody_elses(call: Call) -> AWSResponse:
    """The answer is lost, and meanwhile somebody else has made one of the same name, without our tags."""
    call.done(without=("TagSpecification.", "Tags."))
    raise ReadTimeoutError(endpoint_url=call.request.url)


def remove_profile(place: Place, name: str) -> None:
    place.session.client("iam").delete_instance_profile(InstanceProfileName=name)


REMOVE: dict[str, Callable[[Place, Any], object]] = {
    "ImportKeyPair": lambda place, name: ec2(place).delete_key_pair(KeyName=name),
    "CreateSecurityGroup": lambda place, name: ec2(place).delete_security_group(GroupName=name),
    "CreateRole": lambda place, name: place.session.client("iam").delete_role(RoleName=name),
    "CreateInstanceProfile": remove_profile,
}


@pytest.mark.parametrize(
    ("scenario", "action"),
    [
        (PLAIN, "ImportKeyPair"),
        (PLAIN, "CreateSecurityGroup"),
        (PROFILE, "CreateRole"),
        (PROFILE, "CreateInstanceProfile"),
    ],
)
def test_a_thing_of_the_same_name_is_an_error_and_stays(place: Place, scenario: Scenario, action: str) -> None:
    with injected(Faults(Placed(Placement(action, 1), somebody_elses))), pytest.raises(AmibakeError) as caught:
        scenario.bake(place)
    assert caught.value.leftovers == ()
    assert images(place) == []
    (theirs,) = left(place)
    REMOVE[action](place, theirs)


def test_a_launch_template_of_the_same_name_is_an_error_and_stays(place: Place) -> None:
    """By another token, since it is another's."""

    def taken(call: Call) -> AWSResponse:
        call.done(without=("TagSpecification.", "ClientToken"))
        raise ReadTimeoutError(endpoint_url=call.request.url)

    with injected(Faults(Placed(Placement("CreateLaunchTemplate", 1), taken))), pytest.raises(AmibakeError) as caught:
        SPOT.bake(place)
    assert caught.value.leftovers == ()
    (theirs,) = left(place)
    ec2(place).delete_launch_template(LaunchTemplateId=theirs)


def test_an_image_of_the_same_name_is_an_error_and_stays(place: Place) -> None:
    faults = Faults(Placed(Placement("CreateImage", 1), somebody_elses))
    with injected(faults), pytest.raises(AmibakeError, match=r"InvalidAMIName\.Duplicate") as caught:
        PLAIN.bake(place)
    assert caught.value.leftovers == ()
    assert left(place) == set()
    (theirs,) = images(place)
    assert "Tags" not in theirs or theirs["Tags"] == []
    remove_images(place)


def test_an_image_that_shows_only_later_is_made_once(place: Place) -> None:
    """The answer is lost, the repeated call is refused since the name is taken, and nobody sees the image yet."""
    seen: list[str] = []

    def hide(call: Call) -> AWSResponse:
        if any(value == "tag:amibake:build" for value in call.params.values()):
            seen.append(call.action)
            name = "DescribeImagesResponse"
            return call.answer(200, f"<{name}><imagesSet/></{name}>")
        return call.done()

    def lose(call: Call) -> AWSResponse:
        call.done()
        raise ReadTimeoutError(endpoint_url=call.request.url)

    faults = Faults(Placed(Placement("CreateImage", 1), lose), Placed(Placement("DescribeImages", 3), hide, times=4))
    with injected(faults):
        image = PLAIN.bake(place)
    assert len(seen) > 1
    assert [one["ImageId"] for one in images(place)] == [image.id]
    remove_images(place)
