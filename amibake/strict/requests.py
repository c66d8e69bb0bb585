"""What stands between a client's request and moto: locking, idempotency, and the parameters that moto drops."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from botocore.model import OperationNotFoundError
from moto.core.responses import ActionResult, EmptyResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response

from amibake.strict.launches import Launched, check_shutdown_behaviour
from amibake.strict.tags import check_request

# moto makes every answer of RunInstances say pending; here the instances themselves do
ALWAYS_PENDING = "RunInstances.Reservation.Instances.Instance.State"
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceAttribute.html
ONLY_WHEN_STOPPED = ("InstanceType", "Kernel", "Ramdisk", "UserData", "EbsOptimized", "EnaSupport", "SriovNetSupport")
# what moto stores nowhere, and empties the security groups instead
DROPPED_ATTRIBUTES = {
    "EnaSupport": "ena_support",
    "InstanceInitiatedShutdownBehavior": "instance_initiated_shutdown_behavior",
    "SriovNetSupport": "sriov_net_support",
}


class Response(EC2Response):
    """One request; moto makes one of these for each."""

    RESPONSE_KEY_PATH_TO_TRANSFORMER = {  # noqa: RUF012 - moto's own name and form
        path: transform
        for path, transform in EC2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER.items()
        if path != ALWAYS_PENDING
    }
    _dispatch = EC2Response._dispatch  # noqa: SLF001 - the original: a StrictEC2 puts its own into EC2Response

    def parse_parameters(self, request: Any) -> None:
        """An operation that botocore does not know is refused later, in a form that clients can parse."""
        try:
            super().parse_parameters(request)
        except OperationNotFoundError:
            self.params: Any = {}

    def call_action(self) -> Any:
        """Answer under the world's lock, so that an answer shows one moment; what moto lacks is InvalidAction."""
        action = self._get_action()
        world = self.ec2_backend.world
        try:
            if action == "GetConsoleOutput":  # it asks the machine, which may take its time
                return super().call_action()
            check_request(action, self.params)
            with world.changing():
                self.ec2_backend.settle()
                return super().call_action()
        except EC2ClientError as error:
            return self._refused(error)
        except NotImplementedError:
            if filters := self._filters_from_querystring():
                message = f"One of these filters is invalid, or unknown to moto: {', '.join(filters)}"
                return self._refused(EC2ClientError("InvalidParameterValue", message))
            message = f"The action {action} is not valid for this web service."
            return self._refused(EC2ClientError("InvalidAction", message))

    def run_instances(self) -> Any:
        """As many as MaxCount says; the same ClientToken with the same parameters gets the same instances."""
        least, most = self._get_param("MinCount"), self._get_param("MaxCount")
        if not 1 <= least <= most:
            message = f"Invalid values for MinCount and MaxCount: {least} and {most}"
            raise EC2ClientError("InvalidParameterValue", message)
        token = self._get_param("ClientToken")
        request = self._fingerprint()
        launched = self.ec2_backend.launched
        if token in launched:
            return ActionResult(launched[token].again(request))
        self.params["MinCount"] = most  # what moto goes by
        answer = super().run_instances()
        if token:
            launched[token] = Launched(request, answer.result)
        return answer

    def start_instances(self) -> Any:
        """CurrentState is the real one."""
        return self._with_states(super().start_instances())

    def stop_instances(self) -> Any:
        """Force pulls the plug."""
        self.error_on_dryrun()
        force = self._get_bool_param("Force", False)
        stopped = self.ec2_backend.stop_instances(self._get_param("InstanceIds", []), force=force)
        changes = [{"InstanceId": instance.id, "PreviousState": before} for instance, before in stopped]
        return self._with_states(ActionResult({"StoppingInstances": changes}))

    def terminate_instances(self) -> Any:
        """CurrentState is the real one."""
        return self._with_states(super().terminate_instances())

    def modify_instance_attribute(self) -> Any:
        """One attribute at a time, in the right state, and nothing else is touched."""
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        attribute = self._get_param("Attribute")
        name = attribute[0].upper() + attribute[1:] if attribute else self._attribute_in_request()
        if instance.state in {"shutting-down", "terminated"} or (
            name in ONLY_WHEN_STOPPED and instance.state != "stopped"
        ):
            message = f"The instance '{instance.id}' is not in the 'stopped' state."
            raise EC2ClientError("IncorrectInstanceState", message)
        value = self._get_param("Value") if attribute else self._get_param(f"{name}.Value")
        if name == "InstanceInitiatedShutdownBehavior":
            check_shutdown_behaviour(value)
        if name not in DROPPED_ATTRIBUTES:
            return super().modify_instance_attribute()
        self.error_on_dryrun()
        setattr(instance, DROPPED_ATTRIBUTES[name], value)
        return EmptyResult()

    def get_console_output(self) -> Any:
        """What the machine wrote; nothing before it has an address and once it is gone."""
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        there = instance.address and instance.state != "terminated"
        text = instance.world.machines.console_output(instance.id) if there else ""
        output = Base64EncodedString.from_raw_string(text)
        return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})

    def create_image(self) -> Any:
        """All parameters of CreateImage."""
        self.error_on_dryrun()
        image = self.ec2_backend.capture_image(self._get_param("InstanceId"), self.params)
        return ActionResult({"ImageId": image.id})

    def copy_image(self) -> Any:
        """All parameters of CopyImage but the destination on an Outpost."""
        self.error_on_dryrun()
        origin = ec2_backends[self.current_account][self._get_param("SourceRegion")]
        origin.settle()
        source = origin.describe_images(ami_ids=[self._get_param("SourceImageId")])[0]
        return ActionResult({"ImageId": self.ec2_backend.copy_image_from(source, self.params).id})

    def register_image(self) -> Any:
        """From snapshots only."""
        self.error_on_dryrun()
        return ActionResult({"ImageId": self.ec2_backend.register_image_of(self.params).id})

    def deregister_image(self) -> Any:
        """With DeleteAssociatedSnapshots."""
        self.error_on_dryrun()
        with_snapshots = self._get_bool_param("DeleteAssociatedSnapshots", False)
        self.ec2_backend.deregister_image(self._get_param("ImageId"), with_snapshots=with_snapshots)
        return ActionResult({"Return": True})

    def describe_images(self) -> Any:
        """With MaxResults and NextToken."""
        answer = super().describe_images()
        images = answer.result["Images"]
        start = int(self._get_param("NextToken") or 0)
        end = start + int(self._get_param("MaxResults") or len(images))
        token = str(end) if end < len(images) else None
        return ActionResult({"Images": images[start:end], "NextToken": token})

    def describe_snapshots(self) -> Any:
        """With OwnerIds; without them, and without ids, one's own."""
        answer = super().describe_snapshots()
        named = self._get_param("SnapshotIds", [])
        asked = self._get_param("OwnerIds", [] if named else ["self"])
        owners = {self.current_account if owner == "self" else owner for owner in asked}
        snapshots = [s for s in answer.result["Snapshots"] if not owners or s.owner_id in owners]
        return ActionResult({"Snapshots": snapshots})

    def describe_key_pairs(self) -> Any:
        """With KeyPairIds."""
        wanted = self._get_param("KeyPairIds", [])
        answer = super().describe_key_pairs()
        pairs = [pair for pair in answer.result["KeyPairs"] if not wanted or pair.id in wanted]
        _check_found("InvalidKeyPair.NotFound", "The key pair", wanted, pairs)
        return ActionResult({"KeyPairs": pairs})

    def delete_key_pair(self) -> Any:
        """By name or by KeyPairId; one that is not there is deleted all the same."""
        wanted = self._get_param("KeyPairId")
        if not wanted:
            return super().delete_key_pair()
        self.error_on_dryrun()
        name = next((pair.key_name for pair in self.ec2_backend.describe_key_pairs([]) if pair.id == wanted), None)
        self.ec2_backend.delete_key_pair(name)
        return ActionResult({"Return": True, "KeyPairId": wanted})

    def _parse_block_device_mapping(self) -> Any:
        return self._get_param("BlockDeviceMappings", [])

    def _fingerprint(self) -> str:
        params = {name: value for name, value in self.params.items() if name != "ClientToken"}
        return json.dumps(params, sort_keys=True, default=str)

    def _attribute_in_request(self) -> str:
        given = [name for name in self.params if name not in {"InstanceId", "DryRun"}]
        if len(given) != 1:
            message = "Fields for multiple attribute types specified" if given else "No attributes specified."
            raise EC2ClientError("InvalidParameterCombination", message)
        return str(given[0])

    def _with_states(self, answer: Any) -> Any:
        for changes in answer.result.values():
            for change in changes:
                change["CurrentState"] = self.ec2_backend.get_instance(change["InstanceId"]).instance_state
        return answer

    def _refused(self, error: EC2ClientError) -> Any:
        status, headers, body = self.serialized(ActionResult(error))
        headers, body = self._enrich_response(headers, body)
        return status, headers, body


def _check_found(code: str, what: str, wanted: Iterable[str], found: Iterable[Any]) -> None:
    missing = set(wanted) - {each.id for each in found}
    if missing:
        raise EC2ClientError(code, f"{what} '{', '.join(sorted(missing))}' does not exist")
