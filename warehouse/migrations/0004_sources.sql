-- What decoded a file: one that gave no recording is tried again when this changes.
alter table source add column decoder varchar default '';

-- What people know about a recording, as manifests say; the newest row of a name counts.
create table recording_metadata(
  recording_id varchar not null, name varchar not null, value varchar not null, manifest varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create view current_recording_metadata as
  select * from recording_metadata qualify row_number() over (partition by recording_id, name order by seq desc) = 1;

-- The acoustic fingerprint of a recording, and pairs of recordings that share their sound.
create table fingerprint(
  recording_id varchar not null, key varchar not null, codes uinteger[] not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create table near_duplicate(
  recording_id varchar not null, other_id varchar not null, key varchar not null, score double not null, shared_ms bigint not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));
