-- Sessions. What lists and filters need is in columns; the whole of one is its protobuf message.
create table sessions (
  id uuid primary key,
  status text not null check (status in ('IDLE', 'BUSY', 'RESTARTING', 'ENDED', 'LOST')),
  language text not null,
  sandbox text not null,
  end_reason text,
  metadata jsonb not null default '{}',
  -- The platform process that has it.
  instance_id uuid not null,
  -- syla.session.v1.Session.
  record bytea not null
);

-- What is not over, for recovery: few rows, whatever the size of the table.
create index sessions_open on sessions (instance_id) where status not in ('ENDED', 'LOST');
-- Newest first within a status or a sandbox, for lists.
create index sessions_status on sessions (status, id desc);
create index sessions_sandbox on sessions (sandbox, id desc);

-- Platform processes that share this database. One that stops renewing is dead, by the database's clock.
create table instances (
  id uuid primary key,
  renewed_at timestamptz not null default now()
);
