-- What was lost, filled in or left out of a recording that was kept; what was dropped is in the ledger.
create table remark(
  recording_id varchar not null, stage varchar not null, subject varchar not null, kind varchar not null, detail varchar not null,
  amount_ms bigint, key varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create view remarks as
  select recording_id, subject, stage, kind, detail, amount_ms, created_at from remark;
