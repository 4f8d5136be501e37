-- Sandboxes that stay. What lists and filters need is in columns; the whole of one is its protobuf message.
create table sandboxes (
  id uuid primary key,
  status text not null check (status in ('RUNNING', 'PAUSED', 'ENDED', 'LOST')),
  language text not null,
  end_reason text,
  metadata jsonb not null default '{}',
  -- The platform process that has it.
  instance_id uuid not null,
  -- syla.sandbox.v1.Sandbox.
  record bytea not null
);

-- What is not over, for recovery: few rows, whatever the size of the table.
create index sandboxes_open on sandboxes (instance_id) where status in ('RUNNING', 'PAUSED');
-- Newest first within a status, for lists.
create index sandboxes_status on sandboxes (status, id desc);

-- Platform processes that share this database. One that stops renewing is dead, by the database's clock.
create table instances (
  id uuid primary key,
  renewed_at timestamptz not null default now()
);
