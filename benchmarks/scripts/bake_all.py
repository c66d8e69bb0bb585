import sys
from functools import partial

import amibake

image, port, motd, count = sys.argv[1:]
names = [f"bench {number}" for number in range(int(count))]
builders = [amibake.Builder(source_ami=image, instance_type="t3.micro", ami_name=n, ssh_port=int(port)) for n in names]
steps: list[amibake.Provisioner] = [amibake.File(motd, "motd"), amibake.Shell(inline=["true"])]
amibake.bake_all(partial(amibake.bake, builder, steps) for builder in builders)
