"""Golden cases that artfs answers differently on purpose, and why."""

DIVERGES: dict[str, str] = {
    "files.verbatim-paths": "paths with .., an absolute one, empty parts, and a beside a/b",
    "files.new-file-leading-slash": "an absolute path",
    "metadata.hundred-and-one-keys": "more than 100 keys are refused, as documented",
    "metadata.hundred-and-one-keys-set": "more than 100 keys are refused, as documented",
    "references.web-nosum-2": "the URL has no last part, so the entry's path would be empty",
    # Refs only: digests, sizes and the artifact's digest are the same.
    "references.directory-sum-named": "wandb puts the name into refs, which then do not exist",
    "references.directory-sum-in-side": "wandb puts the name into refs, which then do not exist",
    "references.directory-nosum-named": "wandb puts the name into refs, which then do not exist",
    "references.directory-nosum-in-side": "wandb puts the name into refs, which then do not exist",
}
