"""Ways for a client to find a local EC2: a boto3.Session for this program, environment variables for others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from botocore.client import BaseClient


class _LocalSession(botocore.session.Session):
    """All of its clients speak to one endpoint. Neither ~/.aws nor a profile in the environment says otherwise."""

    def __init__(self, endpoint_url: str) -> None:
        super().__init__()
        self._endpoint_url = endpoint_url
        self.set_config_variable("config_file", os.devnull)
        self.set_config_variable("credentials_file", os.devnull)
        self.set_default_client_config(Config(proxies={}))  # no proxy reaches this machine's loopback

    def get_scoped_config(self) -> dict[str, Any]:
        """What the profile says, which for this session is nothing, also where AWS_PROFILE names one."""
        return {}

    def create_client(self, *args: Any, **kwargs: Any) -> BaseClient:
        kwargs["endpoint_url"] = kwargs.get("endpoint_url") or self._endpoint_url
        return super().create_client(*args, **kwargs)


def local_session(endpoint_url: str, region: str, key: str) -> boto3.Session:
    """A session of `region` whose clients and resources, of all services and regions, default to that endpoint.

    It has credentials of its own, and the environment and the configuration of the user's AWS accounts do not matter.
    """
    return boto3.Session(
        aws_access_key_id=key,
        aws_secret_access_key=key,
        region_name=region,
        botocore_session=_LocalSession(endpoint_url),
    )


def local_environment(endpoint_url: str, region: str, key: str) -> dict[str, str]:
    """What makes the AWS CLI, the SDKs and most tools on top of them use that endpoint, with fake credentials."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": key,
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
