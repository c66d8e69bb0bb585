"""EC2 on this machine: strict moto answers the API, and every instance is a container with a real init.

    with LocalCloud() as cloud:
        amibake.bake(…, session=cloud.session)

On the command line: `python -m amibake.sandbox --help`.
"""

from amibake.sandbox.cloud import LocalCloud

__all__ = ["LocalCloud"]
