"""Client tokens: the same request, asked again, gets the same answer and is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response


@dataclass(frozen=True)
class Answered:
    """What a client token stands for."""

    request: str
    answer: Any

    def again(self, request: str) -> Any:
        """The answer, if the same is asked for."""
        if request != self.request:
            message = (
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
            )
            raise EC2ClientError("IdempotentParameterMismatch", message)
        return self.answer


class Idempotent(EC2Response):
    """A request that may carry a ClientToken."""

    def once(self, do: Callable[[], Any], kind: type[Answered] = Answered) -> Any:
        """What `do` answers, or has answered to the same action with this token. Refusals are not remembered."""
        key = (self._get_action(), self._get_param("ClientToken"))
        if not key[1]:
            return do()
        request, answered = self._fingerprint(), self.ec2_backend.answered
        if key in answered:
            return answered[key].again(request)
        answer = do()
        answered[key] = kind(request, answer)
        return answer

    def _fingerprint(self) -> str:
        params = {name: value for name, value in self.params.items() if name != "ClientToken"}
        return json.dumps(params, sort_keys=True, default=str)
