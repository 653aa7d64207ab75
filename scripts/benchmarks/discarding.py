"""A server of W&B's protocol that throws away what it is sent: what a client alone needs.

The application of `artfs serve`, but that content is neither hashed nor written, and that a commit
does nothing.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from artfs.catalog.serving_records import ContentRecord, Draft
from artfs.model import Digest, Metadata
from artfs.repository.stores import create_store, open_store
from artfs.server import app, ids
from artfs.server.auth import new_key
from artfs.server.context import Context
from artfs.server.project_nodes import PendingNode
from artfs.server.running import ServeOptions
from artfs.server.uploads import Target, Uploads
from artfs.web.serving import run_server


class _Discarding(Uploads):
    async def receive(
        self, body: AsyncIterator[bytes], length: int | None, target: Target
    ) -> ContentRecord:
        del length
        size_bytes = 0
        async for chunk in body:
            size_bytes += len(chunk)
        return ContentRecord(target.md5 or bytes(16), Digest(sha256().digest()), size_bytes, None)


class _Done(PendingNode):
    state = "COMMITTED"
    version_index: Any = 0

    def __init__(self, context: Context, draft: Draft) -> None:
        super().__init__(context, draft, None)
        # The oldest client takes its name from the first one.
        self.aliases = [{"alias": "v0", "artifactCollectionName": draft.name, "id": "v0"}]


class _Root(app.Root):
    def commit_artifact(self, input: Metadata) -> dict[str, Any]:  # noqa: A002 - a field's argument
        return {"artifact": self.artifact(input["artifactID"])}

    def artifact(self, id: str) -> Any:  # noqa: A002 - as above
        draft = self._context.repository.catalog.serving.draft(ids.artifact_id(id))
        assert draft is not None
        return _Done(self._context, draft)


def main() -> None:
    """Serve until a signal; a line of JSON says where, and the key."""
    vars(app).update(Uploads=_Discarding, Root=_Root)
    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory, "store")
        create_store(store, entity="bench")
        with open_store(str(store)) as repository:
            text, key = new_key("bench")
            repository.catalog.serving.add_key(key)

            def tell(url: str) -> None:
                sys.stdout.write(json.dumps({"url": url, "key": text}) + "\n")
                sys.stdout.flush()

            run_server(repository, ServeOptions(port=0), on_ready=tell)


if __name__ == "__main__":
    main()
