"""The queries: parts of those that W&B's clients send, which any of its servers answers."""

from __future__ import annotations

_PAGE = "pageInfo { endCursor hasNextPage }"

_VERSION = """
fragment ArtifactFragment on Artifact {
  id
  digest
  state
  description
  metadata
  size
  fileCount
  createdAt
  versionIndex
  ttlDurationSeconds
  tags { name }
  aliases { alias artifactCollection { name project { name } } }
  artifactType { name }
  artifactSequence { name project { name entity { name } } }
}
"""

_RUN = """
fragment RunFragment on Run {
  name
  displayName
  jobType
  state
  createdAt
  heartbeatAt
  config
  project { name }
}
"""

ENTITY = "query Entity($entity: String!) { entity(name: $entity) { name } }"

_COUNTS = "artifactTypes { edges { node { name artifactCollections { totalCount } } } }"

PROJECTS = f"""
query Projects($entity: String, $cursor: String, $perPage: Int) {{
  models(entityName: $entity, after: $cursor, first: $perPage) {{
    edges {{ node {{ name createdAt {_COUNTS} }} cursor }}
    {_PAGE}
  }}
}}
"""

ENTITY_PROJECTS = f"""
query EntityProjects($entity: String!, $cursor: String, $perPage: Int) {{
  entity(name: $entity) {{
    name
    projects(after: $cursor, first: $perPage) {{
      edges {{ node {{ name createdAt {_COUNTS} }} cursor }}
      {_PAGE}
    }}
  }}
}}
"""

TYPES = f"""
query ProjectArtifactTypes(
  $entity: String!, $project: String!, $cursor: String, $perPage: Int
) {{
  project(name: $project, entityName: $entity) {{
    artifactTypes(after: $cursor, first: $perPage) {{
      edges {{ node {{ name }} }}
      {_PAGE}
    }}
  }}
}}
"""

COLLECTIONS = f"""
query ArtifactTypeArtifactCollections(
  $entity: String!, $project: String!, $type: String!, $cursor: String, $perPage: Int
) {{
  project(name: $project, entityName: $entity) {{
    artifactType(name: $type) {{
      name
      artifactCollections(after: $cursor, first: $perPage) {{
        totalCount
        {_PAGE}
        edges {{
          node {{
            __typename
            name
            createdAt
            artifacts(first: 1, order: "-createdAt") {{
              totalCount
              edges {{ version node {{ ...ArtifactFragment }} }}
            }}
          }}
        }}
      }}
    }}
  }}
}}
{_VERSION}
"""

COLLECTION = f"""
query ProjectArtifacts(
  $entity: String!, $project: String!, $collection: String!, $cursor: String, $perPage: Int
) {{
  project(name: $project, entityName: $entity) {{
    artifactCollection(name: $collection) {{
      __typename
      name
      createdAt
      defaultArtifactType {{ name }}
      artifacts(after: $cursor, first: $perPage, order: "-createdAt") {{
        totalCount
        {_PAGE}
        edges {{ version node {{ ...ArtifactFragment }} }}
      }}
    }}
  }}
}}
{_VERSION}
"""

MEMBERSHIP = f"""
query ArtifactMembershipByName($entity: String!, $project: String!, $name: String!) {{
  project(name: $project, entityName: $entity) {{
    artifactCollectionMembership(name: $name) {{
      versionIndex
      aliases {{ alias }}
      artifactCollection {{ name project {{ name }} }}
      artifact {{ ...ArtifactFragment }}
    }}
  }}
}}
{_VERSION}
"""

BY_ID = f"""
query ArtifactByID($id: ID!) {{ artifact(id: $id) {{ ...ArtifactFragment }} }}
{_VERSION}
"""

MEMBERSHIPS = f"""
query ArtifactMemberships($id: ID!) {{
  artifact(id: $id) {{
    artifactMemberships {{
      edges {{
        node {{
          versionIndex
          aliases {{ alias }}
          artifactCollection {{ name project {{ name entity {{ name }} }} }}
          artifact {{ ...ArtifactFragment }}
        }}
      }}
    }}
  }}
}}
{_VERSION}
"""

MANIFEST = """
query FetchArtifactManifest($id: ID!) {
  artifact(id: $id) { currentManifest { file { directUrl } } }
}
"""

USED_BY = f"""
query ArtifactUsedBy($id: ID!) {{
  artifact(id: $id) {{ usedBy {{ edges {{ node {{ ...RunFragment }} }} }} }}
}}
{_RUN}
"""

CREATED_BY = f"""
query ArtifactCreatedBy($id: ID!) {{
  artifact(id: $id) {{ createdBy {{ __typename ... on Run {{ ...RunFragment }} }} }}
}}
{_RUN}
"""

RUN = f"""
query Run($entity: String!, $project: String!, $name: String!) {{
  project(name: $project, entityName: $entity) {{ run(name: $name) {{ ...RunFragment }} }}
}}
{_RUN}
"""

RUNS = f"""
query Runs($entity: String!, $project: String!, $cursor: String, $perPage: Int) {{
  project(name: $project, entityName: $entity) {{
    runs(after: $cursor, first: $perPage, order: "-createdAt") {{
      edges {{ node {{ ...RunFragment }} cursor }}
      {_PAGE}
    }}
  }}
}}
{_RUN}
"""


def run_artifacts(kind: str) -> str:
    """The versions that a run has as `inputArtifacts` or `outputArtifacts`."""
    return f"""
query RunArtifacts(
  $entity: String!, $project: String!, $name: String!, $cursor: String, $perPage: Int
) {{
  project(name: $project, entityName: $entity) {{
    run(name: $name) {{
      name
      {kind}(after: $cursor, first: $perPage) {{
        edges {{ node {{ ...ArtifactFragment }} cursor }}
        {_PAGE}
      }}
    }}
  }}
}}
{_VERSION}
"""
