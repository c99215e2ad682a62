-- Append-only tables. No primary keys and no indexes: writers check for themselves, inside one transaction.

create sequence row_seq;

-- Rows of this table exist to be refused: the triggers of warehouse/guards.py write to it.
create table refused_change(note varchar);

create table recording(
  recording_id varchar not null, sample_rate_hz integer not null, num_samples bigint not null, num_channels integer not null,
  layout varchar not null, canonical_channels integer not null, codec varchar not null, container varchar not null,
  audio_file varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- recording_id is null when the file gave no recording: the ledger says why.
create table source(
  uri varchar not null, size_bytes bigint not null, modified_ns bigint not null, recording_id varchar,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create table ledger(
  stage varchar not null, subject varchar not null, reason varchar not null, detail varchar not null, recording_id varchar,
  key varchar not null, value double, threshold double,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create table model(
  model_key varchar not null, name varchar not null, revision varchar not null, params json not null, weak boolean not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- One row for each recording and key of the computation (models, revisions, parameters).
create table prelabel_result(
  recording_id varchar not null, key varchar not null, num_turns integer not null, num_utterances integer not null, models json not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create table turn(
  recording_id varchar not null, key varchar not null, position integer not null, channel integer not null, speaker varchar not null,
  start_ms bigint not null, end_ms bigint not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- An utterance found again by other models keeps its id; each result keeps its own words.
create table utterance(
  utterance_id varchar not null, recording_id varchar not null, key varchar not null, channel integer not null, speaker varchar not null,
  start_ms bigint not null, end_ms bigint not null, text varchar not null, language varchar not null, words json not null,
  level_db double, snr_db double, clipping_ratio double, bandwidth_hz integer,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create table prediction(
  prediction_id varchar not null, utterance_id varchar not null, scheme varchar not null, scheme_version integer not null,
  label varchar not null, distribution json not null, model_key varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create table push(
  project_id bigint not null, utterance_id varchar not null, predictions_key varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- One row a revision; updated_at is the server's clock in UTC.
create table annotation(
  annotation_id bigint not null, project_id bigint not null, utterance_id varchar not null, annotator varchar not null,
  labels json not null, text varchar, skipped boolean not null, deleted boolean not null, lead_time_ms bigint, updated_at timestamp not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- Dataset versions: rows stored once by the hash of their content, and an integer manifest for each distinct content.
create table example(
  row_id bigint not null, sha varchar not null, utterance_id varchar not null, recording_id varchar not null, channel integer not null,
  start_ms bigint not null, end_ms bigint not null, voice varchar not null, "group" varchar not null, audio_file varchar not null,
  text varchar not null, language varchar not null, split varchar not null, gold json not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null);

create table manifest(manifest_key integer not null, row_id bigint not null);

create table dataset_version(
  version_id varchar not null, name varchar not null, number integer not null, manifest_key integer not null, num_examples bigint not null,
  recipe json not null, parent varchar,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- Where a voice was put first: it stays there.
create table split_assignment(
  voice varchar not null, split varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create table outbox(
  event_id varchar not null, event varchar not null, payload json not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create table outbox_send(
  event_id varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create table training_run(
  training_id varchar not null, scheme varchar not null, version_id varchar not null, config_key varchar not null, state varchar not null,
  model_key varchar not null, model_name varchar not null, checkpoint_dir varchar not null, result json not null,
  promoted boolean not null, reason varchar not null, seconds double not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create view current_result as
  select * from prelabel_result qualify row_number() over (partition by recording_id order by seq desc) = 1;

create view current_turn as select t.* from turn t semi join current_result using (recording_id, key);

create view current_utterance as select u.* from utterance u semi join current_result using (recording_id, key);

create view current_annotation as
  select * from annotation
  qualify row_number() over (partition by project_id, annotation_id order by updated_at desc, deleted desc, seq desc) = 1;

create view current_push as
  select * from push qualify row_number() over (partition by project_id, utterance_id order by seq desc) = 1;

create view current_training_run as
  select * from training_run qualify row_number() over (partition by training_id order by seq desc) = 1;
