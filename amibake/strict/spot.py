"""Spot instances: their requests, their end, and fleets of type instant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models import spot_requests as hooked
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.utils import convert_tag_spec, random_fleet_id, random_spot_request_id

Params = dict[str, Any]
PRICE = re.compile(r"\d+(\.\d+)?")
STRATEGIES = (
    "capacity-optimized",
    "capacity-optimized-prioritized",
    "diversified",
    "lowest-price",
    "price-capacity-optimized",
)
PRIORITIZED = "capacity-optimized-prioritized"
MARKETS = ("spot", "capacity-block")
CAPACITY_TYPES = ("spot", "on-demand")
LEAST_PRICE = 0.001


class SpotRequest(hooked.SpotInstanceRequest):
    """The request behind an instance that RunInstances or a fleet has launched."""

    __module__ = hooked.__name__  # moto's metaclass reads the service's name from it

    def __init__(self, backend: Any, instance: Any, options: Params, tags: dict[str, dict[str, str]]) -> None:
        self._launched = instance
        super().__init__(
            backend,
            random_spot_request_id(),
            price=options.get("MaxPrice"),
            image_id=instance.image_id,
            spot_instance_type=options.get("SpotInstanceType", "one-time"),
            valid_from=None,
            valid_until=None,
            launch_group=None,
            availability_zone_group=None,
            key_name=instance.key_name,
            security_groups=[group.id for group in instance.security_groups],
            user_data=None,
            instance_type=instance.instance_type,
            placement=instance.availability_zone,
            kernel_id=None,
            ramdisk_id=None,
            monitoring_enabled=instance.monitored,
            subnet_id=instance.subnet_id,
            tags=tags,
            spot_fleet_id=None,
            instance_interruption_behaviour=options.get("InstanceInterruptionBehavior"),
        )

    def launch_instance(self) -> Any:
        """It is there already."""
        return self._launched

    def end(self, code: str) -> None:
        """With the instance."""
        self.state, self._status_code = "closed", code


class InstantFleet(TaggedEC2Resource):
    """A fleet that has launched what it could, and launches nothing more."""

    type = "instant"
    fulfilled_on_demand_capacity = 0.0

    def __init__(self, backend: Any, params: Params) -> None:
        self.ec2_backend = backend
        self.id = self.fleet_id = random_fleet_id()
        self.state = "active"
        self.launched: list[Any] = []
        self.instances: list[Params] = []
        self.errors: list[Params] = []
        self.spot_options = params.get("SpotOptions", {})
        self.launch_template_configs = params["LaunchTemplateConfigs"]
        self.target_capacity_specification = params["TargetCapacitySpecification"]
        self.target_capacity = int(params["TargetCapacitySpecification"]["TotalTargetCapacity"])
        self.add_tags(convert_tag_spec(params.get("TagSpecifications", [])).get("fleet", {}))

    @property
    def fleet_state(self) -> str:
        """The same, by the name that answers use."""
        return self.state

    @property
    def fulfilled_capacity(self) -> float:
        """How many instances it has launched."""
        return float(len(self.launched))

    def terminate_instances(self) -> None:
        """With the fleet; moto calls it."""
        for instance in self.launched:
            instance.terminate()


class Spot(EC2Backend):
    """Spot instances and fleets of one account in one region."""

    def request_spot(self, instance: Any, market: Params, tags: dict[str, dict[str, str]]) -> None:
        """Let an instance that was launched be a spot instance."""
        options = market.get("SpotOptions", {})
        request = SpotRequest(self, instance, options, tags)
        self.spot_instance_requests[request.id] = request
        instance.lifecycle, instance.spot_request = "spot", request

    def plan_fleet(self, params: Params) -> Iterator[tuple[Params, Params, Params]]:
        """The launches that a fleet tries in turn: RunInstances' parameters, and the template and the overrides that
        they are of. The order is that of the overrides, or of their priorities if the strategy heeds them."""
        spot = params.get("SpotOptions", {})
        of_fleet = [each for each in params.get("TagSpecifications", []) if each["ResourceType"] != "fleet"]
        market = _market(params)
        for config in params["LaunchTemplateConfigs"]:
            named = config["LaunchTemplateSpecification"]
            overrides = config.get("Overrides") or [{}]
            if spot.get("AllocationStrategy") == PRIORITIZED:
                overrides = sorted(overrides, key=lambda override: float(override.get("Priority", "inf")))
            for override in overrides:
                launch = {"LaunchTemplate": named, "TagSpecifications": of_fleet, "MinCount": 1, "MaxCount": 1}
                yield (
                    self._overridden(self.with_template(launch), override) | _priced(market, override),
                    named,
                    override,
                )

    def _overridden(self, launch: Params, override: Params) -> Params:
        for name in ("InstanceType", "ImageId"):
            if name in override:
                launch[name] = override[name]
        if zone := override.get("AvailabilityZone"):
            launch["Placement"] = {**launch.get("Placement", {}), "AvailabilityZone": zone}
        if subnet := override.get("SubnetId"):
            interfaces = [dict(interface) for interface in launch.get("NetworkInterfaces", [])]
            if interfaces:
                interfaces[0]["SubnetId"] = subnet
                launch["NetworkInterfaces"] = interfaces
            else:
                launch["SubnetId"] = subnet
        return launch


def check_fleet(params: Params) -> None:
    """Raises EC2ClientError for what EC2 refuses of a CreateFleet as a whole."""
    spot = params.get("SpotOptions", {})
    strategy = spot.get("AllocationStrategy", "lowest-price")
    if strategy not in STRATEGIES:
        raise EC2ClientError(
            "InvalidParameterValue", f"Value ({strategy}) for parameter allocationStrategy is invalid."
        )
    for config in params.get("LaunchTemplateConfigs") or [{}]:  # an empty one does not arrive
        if not config.get("LaunchTemplateSpecification"):
            raise EC2ClientError(
                "MissingParameter", "The request must contain the parameter LaunchTemplateSpecification"
            )
        if not config["LaunchTemplateSpecification"].get("Version"):
            raise EC2ClientError("MissingParameter", "The request must contain the version of the launch template")
    capacity = params["TargetCapacitySpecification"]
    default = capacity.get("DefaultTargetCapacityType", "on-demand")
    if default not in CAPACITY_TYPES:
        message = f"Value ({default}) for parameter defaultTargetCapacityType is invalid."
        raise EC2ClientError("InvalidParameterValue", message)
    if int(capacity["TotalTargetCapacity"]) < 1:
        raise EC2ClientError(
            "InvalidParameterValue", "The total target capacity of an instant fleet has to be positive"
        )
    overrides = [each for config in params["LaunchTemplateConfigs"] for each in config.get("Overrides", [])]
    for price in (spot.get("MaxTotalPrice"), *(override.get("MaxPrice") for override in overrides)):
        check_price(price)


def check_price(price: str | None) -> None:
    """Raises EC2ClientError for what is no price in dollars, and for one that EC2 finds too low for any."""
    if price is not None and not (PRICE.fullmatch(price) and float(price) > LEAST_PRICE):
        raise EC2ClientError("InvalidParameterValue", f"Invalid value for spot price: {price}")


def check_market(market: Params, placement: Params) -> None:
    """Raises EC2ClientError for what EC2 refuses of InstanceMarketOptions, beside the launch's Placement."""
    kind, options = market.get("MarketType"), market.get("SpotOptions", {})
    if kind not in (None, *MARKETS):
        raise EC2ClientError("InvalidParameterValue", f"Value ({kind}) for parameter marketType is invalid.")
    check_price(options.get("MaxPrice"))
    if kind == "spot" and placement.get("Tenancy") == "host":
        raise EC2ClientError("InvalidParameterCombination", "The tenancy 'host' is not supported for Spot Instances")
    behaviour = options.get("InstanceInterruptionBehavior", "terminate")
    if options.get("SpotInstanceType") == "persistent" and behaviour == "terminate":
        message = "A persistent Spot request needs the instance interruption behavior 'stop' or 'hibernate'"
        raise EC2ClientError("InvalidParameterCombination", message)


def _market(params: Params) -> Params:
    capacity = params["TargetCapacitySpecification"]
    is_spot = capacity.get("DefaultTargetCapacityType") == "spot" or capacity.get("SpotTargetCapacity")
    return {"MarketType": "spot"} if is_spot else {}


def _priced(market: Params, override: Params) -> Params:
    if not market:
        return {}
    options = {"MaxPrice": override["MaxPrice"]} if "MaxPrice" in override else {}
    return {"InstanceMarketOptions": market | {"SpotOptions": options}}
