-- Measures of an utterance; each result of the stage keeps its own.
create table measure(
  utterance_id varchar not null, recording_id varchar not null, key varchar not null,
  level_db double, snr_db double, clipping_ratio double, bandwidth_hz integer, overlap_ratio double, speaking_rate double,
  mos double, second_error_rate double,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

insert into measure(utterance_id, recording_id, key, level_db, snr_db, clipping_ratio, bandwidth_hz, run_id)
  select utterance_id, recording_id, key, level_db, snr_db, clipping_ratio, bandwidth_hz, run_id from utterance where level_db is not null order by seq;

-- Those of the result in force; of recordings measured before stages had results, the newest.
create view current_measure as
  select m.* from measure m left join current_result c on c.recording_id = m.recording_id and c.stage = 'measure'
  where c.key is null or c.key = m.key
  qualify row_number() over (partition by m.utterance_id order by m.seq desc) = 1;

-- Personal data in the text of an utterance. That an utterance was scanned is said by the recording's scan stage.
create table private_span(
  utterance_id varchar not null, recording_id varchar not null, key varchar not null, kind varchar not null,
  start_char integer not null, end_char integer not null, start_ms bigint not null, end_ms bigint not null, score double not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- A scan holds for what was cut before it.
create view current_scan as
  select s.* from current_result s join current_result c using (recording_id)
  where s.stage = 'scan' and c.stage = 'cut' and s.seq > c.seq;

create view current_private_span as select p.* from private_span p semi join current_scan using (recording_id, key);

-- What the masked text of a pushed utterance hides, in order: [[kind, characters], ...].
drop view current_push;
alter table push add column hidden json default '[]';
create view current_push as
  select * from push qualify row_number() over (partition by project_id, utterance_id order by seq desc) = 1;

-- What the voice of a speaker is like, one row for each diarization that heard it.
create table speaker_embedding(
  recording_id varchar not null, key varchar not null, channel integer not null, speaker varchar not null, speech_ms bigint not null,
  model_key varchar not null, vector float[] not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create view current_speaker as
  select s.* from speaker_embedding s semi join (from current_result where stage = 'diarize') using (recording_id, key);

-- Which voice a speaker has: "new" begins a voice, "join" adds a speaker, "merge" says that voice_id is other_id from here on,
-- "split" takes a speaker out into voice_id. Nothing is rewritten.
create table voice_event(
  kind varchar not null, voice_id varchar not null, other_id varchar, recording_id varchar, channel integer, speaker varchar,
  key varchar, score double, threshold double, model_key varchar, reason varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));
