-- How the canonical audio of a recording is known again; a newer row goes before an older one.
create table audio_digest(
  recording_id varchar not null, size_bytes bigint not null, sha256 varchar not null, samples_md5 varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create view current_audio_digest as
  select * from audio_digest qualify row_number() over (partition by recording_id order by seq desc) = 1;

-- Whether personal data said on one channel is heard in another: when, or null where it is not.
create table private_leak(
  recording_id varchar not null, key varchar not null, utterance_id varchar not null, kind varchar not null, start_char integer not null,
  end_char integer not null, channel integer not null, start_ms bigint, end_ms bigint,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));
