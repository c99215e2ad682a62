-- What hung, was killed or took too much memory is tried on several days before it rests: one row for each thing, reason and day.
-- key says of which file or computation: with another one the days begin anew.
create table attempt(
  stage varchar not null, subject varchar not null, recording_id varchar, key varchar not null, reason varchar not null, day date not null,
  detail varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- Files that were refused for ever since the machine was busy or short of memory have their tries, too.
delete from source where recording_id is null and uri in (
  select subject from ledger where stage = 'ingest' group by subject having arg_max(reason, seq) in ('timed_out', 'out_of_memory'));
