-- Each stage of pre-labelling has results of its own, so that a changed setting computes only what depends on it.

-- One row for each recording, stage and key of the computation; a row with reused = true says that an earlier result holds again.
-- key is a hash over the stage's version, model, parameters and the keys of what it reads.
create table stage_result(
  recording_id varchar not null, stage varchar not null, key varchar not null, model_key varchar, num_rows integer not null,
  audio_ms bigint not null, seconds double not null, reused boolean not null default false,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

insert into stage_result(recording_id, stage, key, model_key, num_rows, audio_ms, seconds, created_at, run_id, seq)
  select recording_id, 'diarize', key, models->>'diarizer', num_turns, 0, 0, created_at, run_id, nextval('row_seq') from prelabel_result order by seq;
insert into stage_result(recording_id, stage, key, model_key, num_rows, audio_ms, seconds, created_at, run_id, seq)
  select recording_id, 'cut', key, null, num_utterances, 0, 0, created_at, run_id, nextval('row_seq') from prelabel_result order by seq;

drop view current_utterance;
drop view current_turn;
drop view current_result;
drop table prelabel_result;

create table transcript(
  recording_id varchar not null, key varchar not null, channel integer not null, passages json not null, words json not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- What makes a text doubtful: repetition, no_speech, speaking_rate, low_probability.
alter table utterance add column marks json default '[]';

-- The label stage that gave it; '' for predictions from before stages had keys.
alter table prediction add column key varchar default '';

create view current_result as
  select * from stage_result qualify row_number() over (partition by recording_id, stage order by seq desc) = 1;

create view current_turn as
  select t.* from turn t semi join (from current_result where stage = 'diarize') using (recording_id, key);

create view current_utterance as
  select u.* from utterance u semi join (from current_result where stage = 'cut') using (recording_id, key);
