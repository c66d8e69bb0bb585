"""Requests about instances, with the parameters that moto drops."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.utils import convert_tag_spec

from amibake.strict.idempotency import Idempotent
from amibake.strict.launches import Launched, check_shutdown_behaviour
from amibake.strict.options import apply_options, check_options, credits_of
from amibake.strict.spot import check_market

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceAttribute.html
ONLY_WHEN_STOPPED = ("InstanceType", "Kernel", "Ramdisk", "UserData", "EbsOptimized", "EnaSupport", "SriovNetSupport")
# what moto stores nowhere, and empties the security groups instead
DROPPED_ATTRIBUTES = {
    "EnaSupport": "ena_support",
    "InstanceInitiatedShutdownBehavior": "instance_initiated_shutdown_behavior",
    "SriovNetSupport": "sriov_net_support",
}


class InstanceRequests(Idempotent):
    """The part of the answers that is about instances."""

    def run_instances(self) -> Any:
        """As many as MaxCount says; the same ClientToken with the same parameters gets the same instances."""
        least, most = self._get_param("MinCount"), self._get_param("MaxCount")
        if not 1 <= least <= most:
            message = f"Invalid values for MinCount and MaxCount: {least} and {most}"
            raise EC2ClientError("InvalidParameterValue", message)
        return self.once(lambda: ActionResult(self.launch(self.params)), Launched)

    def launch(self, params: dict[str, Any]) -> Any:
        """RunInstances with these parameters and those of the launch template that they name; the reservation."""
        backend = self.ec2_backend
        params = backend.with_template(params)
        check_options(params)
        profile = backend.find_profile(params.get("IamInstanceProfile"))
        market = params.get("InstanceMarketOptions", {})
        check_market(market, params.get("Placement", {}))
        backend.check_named(params)
        # what moto goes by, without what it would do wrong
        self.params = {name: value for name, value in params.items() if name != "IamInstanceProfile"}
        self.params["MinCount"] = params["MaxCount"]
        reservation = super().run_instances().result
        for instance in reservation.instances:
            apply_options(instance, params)
            if profile:
                backend.use_profile(instance, profile)
            if market.get("MarketType") == "spot":
                tags = convert_tag_spec(params.get("TagSpecifications", []))
                backend.request_spot(instance, market, tags)
        return reservation

    def describe_instance_credit_specifications(self) -> Any:
        """As the launches asked for; of burstable types only."""
        instances = self.ec2_backend.get_multi_instances_by_id(self._get_param("InstanceIds", []))
        shown = [{"InstanceId": each.id, "CpuCredits": credits_of(each)} for each in instances if credits_of(each)]
        return ActionResult({"InstanceCreditSpecifications": shown})

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

    def _parse_block_device_mapping(self) -> Any:
        return self._get_param("BlockDeviceMappings", [])

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
