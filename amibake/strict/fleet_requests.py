"""CreateFleet of type instant: launches tried in turn, and what EC2 says of those that were refused."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError

from amibake.strict.instance_requests import InstanceRequests
from amibake.strict.spot import InstantFleet, check_fleet
from amibake.strict.templates import find_version

Params = dict[str, Any]


class FleetRequests(InstanceRequests):
    """The part of the answers that is about fleets."""

    def create_fleet(self) -> Any:
        """An instant one launches as many as it can, of the first override that EC2 does not refuse, and answers at
        once; fleets of other types are moto's."""
        if self._get_param("Type") != "instant":
            return super().create_fleet()
        check_fleet(self.params)
        for config in self.params["LaunchTemplateConfigs"]:
            named = config["LaunchTemplateSpecification"]
            find_version(self.ec2_backend.find_template(named), named["Version"])
        self.error_on_dryrun()
        return self.once(self._create_fleet)

    def delete_fleets(self) -> Any:
        """One that does not exist is no error of the request."""
        wanted = self.params["FleetIds"]
        unknown = [fleet_id for fleet_id in wanted if fleet_id not in self.ec2_backend.fleets]
        self.params["FleetIds"] = [fleet_id for fleet_id in wanted if fleet_id not in unknown]
        answer = super().delete_fleets()
        error = {"Code": "fleetIdDoesNotExist", "Message": "The fleet ID does not exist"}
        answer.result["UnsuccessfulFleetDeletions"] = [{"FleetId": one, "Error": error} for one in unknown]
        return answer

    def _create_fleet(self) -> Any:
        backend, params = self.ec2_backend, self.params
        fleet = InstantFleet(backend, params)
        for launch, template, override in backend.plan_fleet(params):
            if len(fleet.launched) >= fleet.target_capacity:
                break
            shown = {"LaunchTemplateSpecification": template, "Overrides": override}
            self._try(fleet, launch, shown)
        self.params = params
        backend.fleets[fleet.id] = fleet
        return ActionResult({"FleetId": fleet.id, "Errors": fleet.errors, "Instances": fleet.instances})

    def _try(self, fleet: InstantFleet, launch: Params, shown: Params) -> None:
        lifecycle = "spot" if "InstanceMarketOptions" in launch else "on-demand"
        facts = {"LaunchTemplateAndOverrides": shown, "Lifecycle": lifecycle}
        try:
            made = self.launch(launch | {"MaxCount": fleet.target_capacity - len(fleet.launched)}).instances
        except EC2ClientError as error:
            fleet.errors.append(facts | {"ErrorCode": error.code, "ErrorMessage": error.message})
            return
        for instance in made:
            instance.add_tags({"aws:ec2:fleet-id": fleet.id})
        fleet.launched += made
        ids = [instance.id for instance in made]
        fleet.instances.append(facts | {"InstanceIds": ids, "InstanceType": made[0].instance_type})
