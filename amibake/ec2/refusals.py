"""The one boundary at which botocore's exceptions become ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from amibake.errors import AmibakeError, InvalidOption, NoCapacity, NotAuthorized

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
_NO_CREDENTIALS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
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
        if isinstance(error, _NO_CREDENTIALS):
            return NotAuthorized(
                f"{call}: there are no AWS credentials: {error}",
                hint="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass session=.",
            )
        return AmibakeError(f"{call} could not be called: {error}")
    code, message = error.response["Error"].get("Code", "?"), error.response["Error"].get("Message", "")
    ours: AmibakeError
    if code in _NOT_AUTHORIZED:
        permission = f"The call needs the permission ec2:{call}."
        credentials = "The credentials are wrong, have expired, or are not for this region."
        hint = permission if code == "UnauthorizedOperation" else credentials
        ours = NotAuthorized(f"{call}: EC2 says {code}: {message}", hint=hint)
    elif code in _NO_CAPACITY:
        ours = NoCapacity(f"{call}: EC2 says {code}: {message}", hint="Try another instance type, subnet or time.")
    else:
        ours = AmibakeError(f"{call}: EC2 says {code}: {message}")
    ours.code = code
    return ours


def of_an_option(error: AmibakeError, options: Mapping[str, str], hint: str = "") -> AmibakeError:
    """What EC2 refuses because of an option's value, as that option's mistake; `options` is {EC2's code: option}."""
    if error.code not in options:
        return error
    mistake = InvalidOption(f"{options[error.code]}: {error.message}", hint=hint or error.hint)
    mistake.code = error.code
    return mistake
