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
from amibake.interrupts import opened

_ENCODED = "Encoded authorization failure message: "
_NOT_AUTHORIZED = {
    "AccessDenied",
    "AccessDeniedException",
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
NO_CAPACITY = {
    "InsufficientAddressCapacity",
    "InsufficientCapacity",
    "InsufficientFreeAddressesInSubnet",
    "InsufficientHostCapacity",
    "InsufficientInstanceCapacity",
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
}


class Translating:
    """A boto3 client whose methods raise our errors; `decode` makes sense of an encoded authorization failure."""

    def __init__(self, client: Any, *, service: str = "ec2", decode: Callable[[str], str] = str) -> None:
        self._client = client
        self._service = service
        self._decode = decode

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(**arguments: Any) -> Any:
            try:
                with opened():
                    return method(**arguments)
            except (ClientError, BotoCoreError) as error:
                raise self._ours(name, error) from error

        return call

    def _ours(self, method: str, error: ClientError | BotoCoreError) -> AmibakeError:
        call = "".join(word.capitalize() for word in method.split("_"))
        ours: AmibakeError
        if not isinstance(error, ClientError):
            if isinstance(error, _NO_CREDENTIALS):
                return NotAuthorized(
                    f"{call}: there are no AWS credentials: {error}",
                    hint="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass session=.",
                )
            ours = AmibakeError(f"{call} could not be called: {error}")
            ours.lost = True
            return ours
        code, message = error.response["Error"].get("Code", "?"), error.response["Error"].get("Message", "")
        said = f"{call}: {self._service.upper()} says {code}: {message}"
        if error.operation_name == "AssumeRole":
            hint = "The credentials need the permission sts:AssumeRole, and the role has to trust them."
            ours = NotAuthorized(f"assume_role: STS says {code}: {message}", hint=hint)
        elif code in _NOT_AUTHORIZED:
            ours = self._not_authorized(call, code, message)
        elif code in NO_CAPACITY:
            ours = NoCapacity(said, hint="Try another instance type, subnet or time.")
        else:
            ours = AmibakeError(said)
        ours.code = code
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        ours.lost = status >= 500 and code not in NO_CAPACITY
        return ours

    def _not_authorized(self, call: str, code: str, message: str) -> NotAuthorized:
        hint = "The credentials are wrong, have expired, or are not for this region."
        if code in ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException"):
            hint = f"The call needs the permission {self._service}:{call}."
        plain, found, encoded = message.partition(_ENCODED)
        if found:
            try:
                message = f"{plain}{self._decode(encoded.strip())}"
            except (ClientError, BotoCoreError):
                hint += " With sts:DecodeAuthorizationMessage the reason could be shown here."
        return NotAuthorized(f"{call}: {self._service.upper()} says {code}: {message}", hint=hint)


def of_an_option(error: AmibakeError, options: Mapping[str, str], hint: str = "") -> AmibakeError:
    """What EC2 refuses because of an option's value, as that option's mistake; `options` is {EC2's code: option}."""
    if error.code not in options:
        return error
    mistake = InvalidOption(f"{options[error.code]}: {error.message}", hint=hint or error.hint)
    mistake.code = error.code
    return mistake
