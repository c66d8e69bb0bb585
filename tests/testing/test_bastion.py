"""A bastion among the machines of a place: what the instances see of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amibake.errors import SSHTimeout
from amibake.ssh.bastion import Bastion
from amibake.ssh.connect import connect
from amibake.ssh.credentials import Credentials
from amibake.ssh.keys import KeyPair, make_key_pair
from amibake.strict.machines import Ingress
from amibake.testing import Account, Place
from amibake.waiting import Deadline


@pytest.fixture
def key() -> KeyPair:
    return make_key_pair()


@pytest.fixture
def instance(place: Place, key: KeyPair) -> Iterator[str]:
    """The id of one that knows the key."""
    ec2 = place.session.client("ec2")
    ec2.import_key_pair(KeyName="test", PublicKeyMaterial=key.public.encode())
    started = ec2.run_instances(ImageId=place.source_ami, KeyName="test", MinCount=1, MaxCount=1)
    [instance] = started["Instances"]
    yield instance["InstanceId"]
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    ec2.delete_key_pair(KeyName="test")
    place.clock.sleep(60)


def test_an_instance_is_reached_through_it(no_thread_left: None, place: Place, key: KeyPair, instance: str) -> None:
    theirs, address = make_key_pair(), place.machines[instance].address
    machine = place.machines.add_bastion(
        [theirs.public], username="jump", password="hunter2", accounts=[Account("other", password="letmein")]
    )
    place.machines.set_ingress(instance, [Ingress("tcp", 22, 22, (f"{machine.address}/32",))])
    deadline = Deadline(60)
    by_key, by_password = Credentials("jump", theirs), Credentials("jump", password="hunter2")
    for who in (by_key, by_password, Credentials("other", password="letmein")):
        with (
            Bastion(machine.address, 22, who) as bastion,
            connect(address, username="admin", key=key, deadline=deadline, emit=lambda _: None, route=bastion) as host,
        ):
            assert bastion.address_seen(address, deadline=deadline) == machine.address
            assert host.run("true").status == 0
    assert machine.forwarded == [(address, 22)] * 3
    assert place.machines.newest is place.machines[instance]
    with pytest.raises(SSHTimeout, match="no security group lets this in"):
        connect(address, username="admin", key=key, deadline=deadline, emit=lambda _: None, timeout=5)
    place.machines.set_ingress(instance, [Ingress("tcp", 22, 22, ("127.0.0.1/32",))])
    with (
        Bastion(machine.address, 22, by_key) as bastion,
        pytest.raises(SSHTimeout, match="from the bastion: Connect failed"),
    ):
        connect(address, username="admin", key=key, deadline=deadline, emit=lambda _: None, timeout=5, route=bastion)
