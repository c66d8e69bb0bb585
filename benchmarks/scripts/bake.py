import sys

import amibake

builder = amibake.Builder(source_ami=sys.argv[1], instance_type="t3.micro", ami_name="bench", ssh_port=int(sys.argv[2]))
amibake.bake(builder, [amibake.File(sys.argv[3], "motd"), amibake.Shell(inline=["true"])])
