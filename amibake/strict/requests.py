"""What stands between a client's request and moto: locking, idempotency, and the parameters that moto drops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botocore.model import OperationNotFoundError
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response

from amibake.strict.faults import STATUS
from amibake.strict.fleet_requests import FleetRequests
from amibake.strict.image_requests import ImageRequests
from amibake.strict.tags import check_request
from amibake.strict.templates import TemplateRequests

# moto makes every answer of RunInstances say pending; here the instances themselves do
ALWAYS_PENDING = "RunInstances.Reservation.Instances.Instance.State"


class Response(FleetRequests, TemplateRequests, ImageRequests, EC2Response):
    """One request; moto makes one of these for each."""

    RESPONSE_KEY_PATH_TO_TRANSFORMER = {  # noqa: RUF012 - moto's own name and form
        path: transform
        for path, transform in EC2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER.items()
        if path != ALWAYS_PENDING
    }
    _dispatch = EC2Response._dispatch  # noqa: SLF001 - the original: a StrictEC2 puts its own into EC2Response

    def parse_parameters(self, request: Any) -> None:
        """What cannot be read is refused later, in a form that clients can parse: an operation that botocore does
        not know, and a malformed value."""
        self.params: Any = {}
        self._malformed = ""
        try:
            super().parse_parameters(request)
        except OperationNotFoundError:
            self.params = {}
        except ValueError as error:
            self._malformed = str(error)

    def call_action(self) -> Any:
        """Answer under the world's lock, so that an answer shows one moment; what moto lacks is InvalidAction."""
        action = self._get_action()
        world = self.ec2_backend.world
        world.record(self.region, action, self.querystring)
        try:
            world.check_action(self.region, action)
            if self._malformed:
                raise EC2ClientError("InvalidParameterValue", self._malformed)
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

    def serialized(self, action_result: Any) -> Any:
        """With the HTTP status that EC2 gives an error's code."""
        status, headers, body = super().serialized(action_result)
        error = action_result.result
        return STATUS.get(error.code, status) if isinstance(error, EC2ClientError) else status, headers, body

    def _refused(self, error: EC2ClientError) -> Any:
        status, headers, body = self.serialized(ActionResult(error))
        headers, body = self._enrich_response(headers, body)
        return status, headers, body


def _check_found(code: str, what: str, wanted: Iterable[str], found: Iterable[Any]) -> None:
    missing = set(wanted) - {each.id for each in found}
    if missing:
        raise EC2ClientError(code, f"{what} '{', '.join(sorted(missing))}' does not exist")
