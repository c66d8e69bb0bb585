"""moto made as strict as EC2, where a baker must get it right.

    with mock_aws(), StrictEC2() as ec2:
        ec2.add_image(name="debian-12-amd64", owner_id="136693071363")
        boto3.client("ec2", region_name="us-east-1").run_instances(…)

Machines may stand behind the instances: see `Machines`.
"""

from amibake.strict.faults import Fault
from amibake.strict.machines import Ingress, Launch, Machines
from amibake.strict.record import Request
from amibake.strict.work import Delays, Executor
from amibake.strict.world import StrictEC2

__all__ = ["Delays", "Executor", "Fault", "Ingress", "Launch", "Machines", "Request", "StrictEC2"]
