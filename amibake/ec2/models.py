"""botocore's descriptions of AWS's services, for the sessions that are made here."""

from __future__ import annotations

import gzip
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from botocore.loaders import JSONFileLoader

if TYPE_CHECKING:
    from botocore.loaders import Loader
    from botocore.session import Session

_loaders: WeakValueDictionary[str | None, Loader] = WeakValueDictionary()
"""What has loaded the descriptions that are in use, by where else than in botocore itself it looks for them."""
_LOOKING = threading.Lock()


class Plain(JSONFileLoader):
    """Reads a file into dicts, which keep their order as OrderedDict does, and take half its time and space."""

    def load_file(self, file_path: str) -> Any:
        """Its content, None where there is none."""
        plain, zipped = Path(f"{file_path}.json"), Path(f"{file_path}.json.gz")
        if plain.is_file():
            return json.loads(plain.read_bytes())
        if zipped.is_file():
            return json.loads(gzip.decompress(zipped.read_bytes()))
        return super().load_file(file_path)  # one that is kept in some other way


def share(session: Session) -> None:
    """Have this session load what it needs quickly, and what another one has loaded not again: EC2's alone is 4 MB of
    JSON. Nothing of it is kept beyond the last of them."""
    elsewhere = session.get_config_variable("data_path")
    with _LOOKING:
        loader = _loaders.get(elsewhere)
        if loader is None:
            loader = session.get_component("data_loader")
            loader.file_loader = Plain()
            _loaders[elsewhere] = loader
    session.register_component("data_loader", loader)
