"""Launch templates: what they hold, and what a launch takes from one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidLaunchTemplateIdNotFound,
    InvalidLaunchTemplateNameNotFoundWithNameError,
    InvalidLaunchTemplateVersionNotFound,
)
from moto.ec2.models import EC2Backend
from moto.ec2.utils import parse_user_data

from amibake.strict.idempotency import Idempotent
from amibake.strict.tags import check_request

Params = dict[str, Any]


class Templates(EC2Backend):
    """The launch templates of one account in one region."""

    def find_template(self, named: Mapping[str, Any]) -> Any:
        """By LaunchTemplateId or LaunchTemplateName. Refuses one that is not there."""
        template_id, name = named.get("LaunchTemplateId"), named.get("LaunchTemplateName")
        if bool(template_id) == bool(name):
            message = "Either a launch template ID or a launch template name must be specified, and not both."
            raise EC2ClientError("InvalidParameterCombination" if name else "MissingParameter", message)
        if name and name not in self.launch_template_name_to_ids:
            raise InvalidLaunchTemplateNameNotFoundWithNameError(name)
        template_id = template_id or self.launch_template_name_to_ids[name]
        if template_id not in self.launch_templates:
            raise InvalidLaunchTemplateIdNotFound(template_id)
        return self.launch_templates[template_id]

    def with_template(self, params: Params) -> Params:
        """The parameters of a launch, and what they leave open from the launch template that they name."""
        named = params.get("LaunchTemplate")
        if not named:
            return params
        version = find_version(self.find_template(named), named.get("Version") or "$Default")
        return merged(version.data, params)


def find_version(template: Any, named: Any) -> Any:
    """By number, $Latest or $Default. Refuses one that is not there; moto counts from the end below 1."""
    if str(named) not in ("$Latest", "$Default"):
        if not re.fullmatch("[0-9]{1,18}", str(named)):
            message = f"Invalid launch template version '{named}': a number, $Latest or $Default"
            raise EC2ClientError("InvalidParameterValue", message)
        if int(named) < 1:
            raise InvalidLaunchTemplateVersionNotFound(template_id=template.id, version=named)
    return template.get_version(named)


def merged(template: Params, request: Params) -> Params:
    """A template's data under a request: what both name is the request's, but devices and tags are joined."""
    names = {"RamDiskId": "RamdiskId"}
    data = {names.get(name, name): value for name, value in template.items() if value is not None}
    if "UserData" in data:
        data["UserData"] = str(data["UserData"])
    result = data | request
    if devices := [*data.get("BlockDeviceMappings", []), *request.get("BlockDeviceMappings", [])]:
        result["BlockDeviceMappings"] = list({device["DeviceName"]: device for device in devices}.values())
    if specifications := joined(data.get("TagSpecifications", []), request.get("TagSpecifications", [])):
        result["TagSpecifications"] = specifications
    return result


def joined(first: list[Params], second: list[Params]) -> list[Params]:
    """Tag specifications of both, one for each type; the second one's values count."""
    tags: dict[str, dict[str, str]] = {}
    for specification in (*first, *second):
        new = {tag["Key"]: tag.get("Value", "") for tag in specification["Tags"]}
        tags.setdefault(specification["ResourceType"], {}).update(new)
    return [
        {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in of_kind.items()]}
        for kind, of_kind in tags.items()
    ]


class TemplateRequests(Idempotent):
    """The part of the answers that is about launch templates."""

    def create_launch_template(self) -> Any:
        """Refuses user data and tags that a launch would refuse; the template's own tags are not the launch's."""
        data = self._template_data()
        specifications = list(data.get("TagSpecifications", []))

        def create() -> Any:
            answer = super(TemplateRequests, self).create_launch_template()
            made = self.ec2_backend.find_template({"LaunchTemplateName": self._get_param("LaunchTemplateName")})
            made.default_version().data["TagSpecifications"] = specifications
            return answer

        return self.once(create)

    def create_launch_template_version(self) -> Any:
        """With SourceVersion: its data stay where they are not given anew."""
        data = self._template_data()
        if source := self._get_param("SourceVersion"):
            template = self.ec2_backend.find_template(self.params)
            data = {**find_version(template, source).data, **data}
        data["UserData"] = parse_user_data(str(data["UserData"])) if data.get("UserData") else None
        self.params["LaunchTemplateData"] = data
        return super().create_launch_template_version()

    def describe_launch_templates(self) -> Any:
        """Refuses ids and names that are not there."""
        for name in self._get_param("LaunchTemplateNames", []):
            self.ec2_backend.find_template({"LaunchTemplateName": name})
        for template_id in self._get_param("LaunchTemplateIds", []):
            self.ec2_backend.find_template({"LaunchTemplateId": template_id})
        for template in self.ec2_backend.launch_templates.values():
            template.tags = template.get_tags()
        return super().describe_launch_templates()

    def delete_launch_template(self) -> Any:
        """By id or name; refuses one that is not there."""
        self.ec2_backend.find_template(self.params)
        return super().delete_launch_template()

    def _template_data(self) -> Params:
        data: Params = self._get_param("LaunchTemplateData", {})
        parse_user_data(data.get("UserData"))
        check_request("RunInstances", data)
        return data
