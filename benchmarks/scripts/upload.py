import sys

import amibake

address, port, key, source = sys.argv[1:]
amibake.provision(address, [amibake.File(f"{source}/", "/home/admin/uploaded")], key=key, port=int(port))
