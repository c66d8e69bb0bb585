"""The rows that bake: whole processes, from exec to exit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from amibake.strict import Delays
from benchmarks import standin
from benchmarks.machines import PORT
from benchmarks.measure import Failed, Took
from benchmarks.place import Place
from benchmarks.rows import OURS, Count, Results, Row, Sample
from benchmarks.standin import AWS_LIKE, NONE, StandIn, stand_in

_MANY_OVER_ONE, _MANY_CALLS_OVER_ONE = 1.2, 1.5
_MOST_DESCRIBES = 60


@dataclass(frozen=True, kw_only=True)
class Bake(Row):
    """A bake that uploads one small file and runs one script that does nothing; or `count` of them in one process.
    `most` is the goal in seconds, or None for a fifth more than one of them takes."""

    contenders: tuple[str, ...] = (OURS, "Packer")
    delays: Delays
    count: int = 1
    most: float | None = None

    def measure(self, place: Place, contender: str) -> Sample:
        """Against books that are empty, with machines that are up."""
        place.park.prepare(self.count)
        try:
            with stand_in(place.park, self.delays) as ec2:
                took = self._run(place, contender, ec2)
                actions = ec2.actions()
                if (made := ec2.images()) != self.count:
                    raise Failed(f"{made} images were made, not {self.count}")
        finally:
            place.park.clear()
        describes = sum(action.startswith("Describe") for action in actions)
        counts = {"calls": len(actions), "describes": describes, "describes per second": describes / took.wall}
        return Sample(took.wall, took.cpu, counts)

    def floor(self, place: Place) -> float:
        """EC2's own time: until it runs, is stopped, and the image is there. Nothing has to wait for termination."""
        del place
        return self.delays.running + self.delays.stopped + self.delays.available

    def goal(self, results: Results) -> float | None:
        """As given, or a fifth more than one takes."""
        one = results[ONE.name].walls().get(OURS) if ONE.name in results else None
        return _MANY_OVER_ONE * one if self.most is None and one is not None else self.most

    def counts(self, results: Results) -> list[Count]:
        """How often EC2 was asked, where it takes its time."""
        one, ours = results.get(ONE.name), results.get(self.name)
        found = ours.count("describes" if self == ONE else "describes per second") if ours else None
        if found is None:
            return []
        if self == ONE:
            return [Count("describe calls of that bake", found, _MOST_DESCRIBES)]
        if self == MANY and one and (per_second := one.count("describes per second")):
            return [Count("describe calls per second of these 20 bakes", found, _MANY_CALLS_OVER_ONE * per_second)]
        return []

    def _run(self, place: Place, contender: str, ec2: StandIn) -> Took:
        motd = place.file("motd", "Baked.\n")
        environment, limit = ec2.environment(), 60 + 3 * self.floor(place)
        if contender == OURS:
            arguments = (ec2.source_ami, str(PORT), str(motd), *([str(self.count)] if self.count > 1 else []))
            script: Literal["bake", "bake_all"] = "bake" if self.count == 1 else "bake_all"
            return place.run_script(script, *arguments, environment=environment, limit=limit)
        template = place.file("bake.json", json.dumps(_template(ec2, str(motd))))
        environment["CHECKPOINT_DISABLE"] = "1"
        return place.run(["packer", "build", str(template)], environment, limit)


def _template(ec2: StandIn, motd: str) -> dict[str, object]:
    builder = {
        "type": "amazon-ebs",
        "access_key": standin.KEY,
        "secret_key": standin.KEY,
        "region": standin.REGION,
        "custom_endpoint_ec2": ec2.url,
        "skip_region_validation": True,
        "skip_metadata_api_check": True,
        "source_ami": ec2.source_ami,
        "instance_type": "t3.micro",
        "ssh_username": "admin",
        "ssh_port": PORT,
        "ami_name": "bench",
    }
    file = {"type": "file", "source": motd, "destination": "motd"}
    return {"builders": [builder], "provisioners": [file, {"type": "shell", "inline": ["true"]}]}


ONE = Bake(
    name="bake",
    title="bake, EC2 takes 7 s to run, 17 to stop, 41 for the image, 9 to terminate",
    most=67.5,
    delays=AWS_LIKE,
    rounds=1,
)
NOW = Bake(name="bake-now", title="bake, EC2 and script take no time", most=0.59, delays=NONE, rounds=5, warm=True)
MANY = Bake(
    name="bake-many",
    title="20 bakes at once in one process, EC2 takes as long",
    contenders=(OURS,),
    delays=AWS_LIKE,
    count=20,
    rounds=1,
)
BAKES = (ONE, MANY, NOW)
