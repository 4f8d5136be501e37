-- Snapshots: the files of a sandbox at a moment. The bytes are a file of the data folder, named by its digest.
create table snapshots (
  id uuid primary key,
  sandbox uuid not null,
  -- SHA-256, in hexadecimal.
  digest text not null,
  metadata jsonb not null default '{}',
  -- syla.sandbox.v1.Snapshot.
  record bytea not null
);

-- Templates, each with a new id when it is built anew.
create table templates (
  id uuid primary key,
  name text not null unique,
  status text not null check (status in ('BUILDING', 'READY', 'FAILED')),
  language text not null,
  -- Of the files of one that is ready.
  digest text,
  metadata jsonb not null default '{}',
  -- The platform process that builds it.
  instance_id uuid not null,
  -- syla.sandbox.v1.Template.
  record bytea not null,
  -- What its build did, as JSON: an array of syla.sandbox.v1.TemplateEvent.
  log text
);

-- What is being built, for recovery.
create index templates_open on templates (instance_id) where status = 'BUILDING';
-- Newest first of one sandbox, for lists.
create index snapshots_sandbox on snapshots (sandbox, id desc);
