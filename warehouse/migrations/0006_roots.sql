-- Rows of versions can be erased without breaking the versions that held them: what stands for a row in a version's root, its leaf, is
-- kept apart from what the row says. warehouse/leaves.py fills the leaves of rows from before.

create table example_6(
  row_id bigint not null, utterance_id varchar not null, recording_id varchar not null, channel integer not null,
  start_ms bigint not null, end_ms bigint not null, voice varchar not null, "group" varchar not null, audio_file varchar not null,
  text varchar not null, language varchar not null, split varchar not null, gold varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null);
insert into example_6 by name select * exclude (sha) replace (gold::varchar as gold) from example order by row_id;
drop table example;
alter table example_6 rename to example;

-- The salted SHA-256 of a row, its first 128 bits: says nothing about the row once the salt is gone.
create table example_leaf(row_id bigint not null, leaf_high ubigint not null, leaf_low ubigint not null);

-- One salt for each voice in each recording, destroyed when either is forgotten.
create table row_salt(
  recording_id varchar not null, voice varchar not null, salt varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null);

-- The Merkle root over the leaves of a version. It is the version's id, but for versions from before there were roots.
drop trigger if exists dataset_version_no_update on dataset_version;
alter table dataset_version add column root varchar default '';

-- How much of each label a version holds, in each split and language; scheme '' counts the examples themselves.
create table version_summary(
  manifest_key integer not null, split varchar not null, language varchar not null, scheme varchar not null, label varchar not null,
  num_examples bigint not null, duration_ms bigint not null);

-- A second name of a version. It says the same for ever.
create table version_tag(
  tag varchar not null, name varchar not null, number integer not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- Erasure. A receipt says what was erased for whom and when, in numbers and ids that say nothing; nobody's words or names.
create table erasure(
  receipt_id varchar not null, kind varchar not null, subject varchar not null, reason varchar not null, counts json not null,
  versions json not null, models json not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- How many rows of a version an erasure took.
create table manifest_erasure(manifest_key integer not null, receipt_id varchar not null, num_rows bigint not null);

-- What must not come in again: recordings by the hash of their content, voices by their id. The newest row of a subject counts.
create table forgotten(
  kind varchar not null, subject varchar not null, receipt_id varchar not null, renewed boolean not null default false, reason varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- Entries of the annotations' ledger that were erased; their seals stay, so that the chain holds.
create table erased_annotation(annotation_seq bigint not null, receipt_id varchar not null);
