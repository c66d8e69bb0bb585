"""The one boundary at which botocore's exceptions become ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from amibake.ec2.transient import FOREIGN, NO_CAPACITY, Foreign, Retries, is_transient, may_be_done
from amibake.errors import AmibakeError, InvalidOption, NoCapacity, NotAuthorized
from amibake.interrupts import opened

_ENCODED = "Encoded authorization failure message: "
_NOT_AUTHORIZED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "Blocked",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "OptInRequired",
    "PendingVerification",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "UnauthorizedOperation",
}
_NO_PERMISSION = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
"""Those of them that are about one call only."""
_NO_CREDENTIALS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)


class Translating:
    """A boto3 client whose methods raise our errors, and are called again, as `retries` says, after a failure of
    the moment; `decode` makes sense of an encoded authorization failure."""

    def __init__(
        self,
        client: Any,
        *,
        service: str = "ec2",
        decode: Callable[[str], str] | None = None,
        retries: Retries = Retries(),  # noqa: B008 - frozen
    ) -> None:
        self._client = client
        self._service = service
        self._decode = decode
        self._retries = retries

    @property
    def endpoint(self) -> str:
        """Where it calls."""
        return str(self._client.meta.endpoint_url)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        call = "".join(word.capitalize() for word in name.split("_"))

        def once(arguments: Mapping[str, Any]) -> Any:
            try:
                with opened():
                    return method(**arguments)
            except FOREIGN as error:
                raise self._ours(call, error, arguments) from error

        return lambda **arguments: self._retries.call(call, partial(once, arguments))

    def _ours(self, call: str, error: Foreign, arguments: Mapping[str, Any]) -> AmibakeError:
        ours: AmibakeError
        if isinstance(error, ClientError):
            ours = self._said(call, error, arguments)
        elif isinstance(error, _NO_CREDENTIALS):
            ours = NotAuthorized(
                f"{call}: there are no AWS credentials: {error}",
                hint="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass session=.",
            )
        else:
            said = str(error).partition("\n")[0]  # then the answer follows, as far as it came
            ours = AmibakeError(f"{call} could not be called: {said}")
        ours.lost = may_be_done(error)
        return ours

    def _said(self, call: str, error: ClientError, arguments: Mapping[str, Any]) -> AmibakeError:
        """The error of what EC2 has said."""
        code, message = error.response["Error"].get("Code", "?"), error.response["Error"].get("Message", "")
        said = f"{call}: {self._service.upper()} says {code}: {message}"
        ours: AmibakeError
        if is_transient(error):
            ours = AmibakeError(said)
        elif error.operation_name == "AssumeRole":
            hint = "The credentials need the permission sts:AssumeRole, and the role has to trust them."
            ours = NotAuthorized(f"assume_role: STS says {code}: {message}", hint=hint)
        elif code in _NOT_AUTHORIZED:
            ours = self._not_authorized(call, code, message, arguments)
        elif code in NO_CAPACITY:
            ours = NoCapacity(said, hint="Try another instance type, subnet or time.")
        else:
            ours = AmibakeError(said)
        ours.code = code
        return ours

    def _not_authorized(self, call: str, code: str, message: str, arguments: Mapping[str, Any]) -> NotAuthorized:
        hint = "The credentials are wrong, have expired, or are not for this region."
        plain, found, encoded = message.partition(_ENCODED)
        more = ""
        if found and self._decode is not None:
            try:
                message = f"{plain}{_reason(self._decode(encoded.strip()))}"
            except AmibakeError:
                more = " With sts:DecodeAuthorizationMessage the reason could be shown here."
        if code in _NO_PERMISSION:
            hint = f"The call needs the permission {_permission(self._service, call, message, arguments)}.{more}"
        return NotAuthorized(f"{call}: {self._service.upper()} says {code}: {message}", hint=hint)


def _reason(decoded: str) -> str:
    """What is missing, of all that an authorization failure says."""
    try:
        told = json.loads(decoded)
        action, resource = told["context"]["action"], told["context"]["resource"]
    except (ValueError, KeyError, TypeError):
        return decoded
    refused = "an explicit deny forbids" if told.get("explicitDeny") else "not authorized"
    return f"{refused} to perform: {action} on resource: {resource}"


def _permission(service: str, call: str, message: str, arguments: Mapping[str, Any]) -> str:
    """The action that is to be allowed: the one that the message names, or what the call takes."""
    if named := re.search(r"to perform: ([\w-]+:\w+)", message):
        return named[1]
    also = []
    if "TagSpecifications" in arguments:
        also.append("ec2:CreateTags for its tags")
    if "IamInstanceProfile" in arguments:
        also.append("iam:PassRole for its instance profile")
    return f"{service}:{call}" + (f" (and {', '.join(also)})" if also else "")


def of_an_option(error: AmibakeError, options: Mapping[str, str], hint: str = "") -> AmibakeError:
    """What EC2 refuses because of an option's value, as that option's mistake; `options` is {EC2's code: option}."""
    if error.code not in options:
        return error
    mistake = InvalidOption(f"{options[error.code]}: {error.message}", hint=hint or error.hint)
    mistake.code, mistake.lost = error.code, error.lost
    return mistake
