"""A look-alike of nodejs.org/dist for instances that cannot reach it, filled from the package registries.

`store` keeps the releases on disk: it asks `packages` (pip and npm) for what a release is made of and `tarballs` to
lay it out as nodejs.org does. `http` serves the store to the instances. Every release is made when first asked for.
"""

from __future__ import annotations
