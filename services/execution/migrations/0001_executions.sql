-- Executions and their numbered events. What lists and filters need is in columns; the whole of an execution is its
-- protobuf message (`record`, without output), and output is only in its events.
create table executions (
  id uuid primary key,
  status text not null
    check (status in ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED', 'LOST')),
  language text not null,
  error_type text,
  metadata jsonb not null default '{}',
  -- The platform process that queues or runs it.
  instance_id uuid not null,
  -- syla.execution.v1.ExecutionSpec, for as long as it is PENDING.
  spec bytea,
  -- syla.execution.v1.Execution.
  record bytea not null
);

-- What is not over, for recovery: few rows, whatever the size of the table.
create index executions_open on executions (instance_id) where status in ('PENDING', 'RUNNING');
-- Newest first within a status or a language, for lists.
create index executions_status on executions (status, id desc);
create index executions_language on executions (language, id desc);

create table execution_events (
  execution_id uuid not null,
  number integer not null,
  -- syla.execution.v1.ExecutionEvent.
  event bytea not null,
  primary key (execution_id, number)
);

-- Platform processes that share this database. One that stops renewing is dead, by the database's clock.
create table instances (
  id uuid primary key,
  renewed_at timestamptz not null default now()
);
