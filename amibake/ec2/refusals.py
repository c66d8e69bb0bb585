"""The one boundary at which botocore's exceptions become ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from amibake.errors import AmibakeError, NoCapacity, NotAuthorized

_NOT_AUTHORIZED = {
    "AuthFailure",
    "Blocked",
    "ExpiredToken",
    "InvalidClientTokenId",
    "OptInRequired",
    "PendingVerification",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
}
_NO_CAPACITY = {
    "InsufficientAddressCapacity",
    "InsufficientFreeAddressesInSubnet",
    "InsufficientHostCapacity",
    "InsufficientInstanceCapacity",
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
}


class Translating:
    """A boto3 client whose methods raise our errors."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(**arguments: Any) -> Any:
            try:
                return method(**arguments)
            except (ClientError, BotoCoreError) as error:
                raise _ours(name, error) from error

        return call


def _ours(method: str, error: ClientError | BotoCoreError) -> AmibakeError:
    call = "".join(word.capitalize() for word in method.split("_"))
    if not isinstance(error, ClientError):
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return NotAuthorized(
                f"{call}: no AWS credentials were found",
                hint="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass session=.",
            )
        return AmibakeError(f"{call} could not be called: {error}")
    code, message = error.response["Error"].get("Code", "?"), error.response["Error"].get("Message", "")
    ours: AmibakeError
    if code in _NOT_AUTHORIZED:
        ours = NotAuthorized(f"{call}: EC2 says {code}: {message}", hint=f"The call needs the permission ec2:{call}.")
    elif code in _NO_CAPACITY:
        ours = NoCapacity(f"{call}: EC2 says {code}: {message}", hint="Try another instance type, subnet or time.")
    else:
        ours = AmibakeError(f"{call}: EC2 says {code}: {message}")
    ours.code = code
    return ours
