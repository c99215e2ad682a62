-- Batches that other processes left as files, and that were merged: each once.
create table merged_batch(
  batch_id varchar not null, num_rows bigint not null, left_at timestamp not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- One row for each transaction. A file beside the warehouse says how many there were: a write-ahead log cut short has fewer.
create table commit_count(n bigint not null);

-- What people and BI tools look at; `voxdata query` reads them, docs/warehouse.md describes them.

create view utterances as
  with recursive heard as (
    select recording_id, channel, speaker, arg_max(voice_id, seq) as voice, max(seq) as seq from voice_event
    where kind in ('new', 'join', 'split') group by all),
  followed as (
    from heard union all
    select f.recording_id, f.channel, f.speaker, e.other_id, e.seq from followed f
    join voice_event e on e.kind = 'merge' and e.voice_id = f.voice and e.seq > f.seq),
  voice_now as (select recording_id, channel, speaker, arg_max(voice, seq) as voice from followed group by all),
  guess as (
    select utterance_id, map(list(scheme order by scheme), list(label order by scheme)) as predicted from (
      select utterance_id, scheme, arg_max(label, seq) as label from prediction group by all) group by utterance_id),
  held as (select recording_id, arg_min(uri, seq) as uri from source where recording_id is not null group by recording_id)
  select u.utterance_id, u.recording_id, h.uri, u.channel, u.speaker, v.voice, u.start_ms, u.end_ms, u.end_ms - u.start_ms as duration_ms,
    u.text, u.language, m.level_db, m.snr_db, m.clipping_ratio, m.bandwidth_hz, m.overlap_ratio, m.speaking_rate, m.mos, m.second_error_rate,
    g.predicted
  from current_utterance u left join current_measure m using (utterance_id) left join guess g using (utterance_id)
  left join voice_now v on v.recording_id = u.recording_id and v.channel = u.channel and v.speaker = u.speaker
  left join held h on h.recording_id = u.recording_id;

-- One row for each standing answer, scheme and label that a person chose; place 1 is the main label.
create view labels as
  with purpose as (select project_id, arg_max(purpose, seq) as purpose from annotation_project group by project_id),
  chosen as (
    select a.*, unnest(map_entries(a.labels::map(varchar, varchar[]))) as vote from current_annotation a where not a.deleted and not a.skipped)
  select c.utterance_id, c.vote.key as scheme, unnest(c.vote.value) as label, generate_subscripts(c.vote.value, 1) as place,
    c.annotator, coalesce(p.purpose, 'label') as purpose, c.proposal <> '' as proposal_shown, c.updated_at, c.annotation_id, c.project_id
  from chosen c left join purpose p using (project_id)
  where c.utterance_id not in (select key from check_clip);

-- Of every two people under every scheme: on how many utterances both voted, and on how many with the same main label.
create view agreement as
  with vote as (
    select utterance_id, scheme, annotator, arg_max(label, updated_at) as label from labels where place = 1 and purpose = 'label' group by all)
  select a.scheme, a.annotator as annotator_a, b.annotator as annotator_b, count(*) as utterances,
    count(*) filter (a.label = b.label) as same, round(count(*) filter (a.label = b.label) / count(*), 4) as observed_agreement
  from vote a join vote b on a.utterance_id = b.utterance_id and a.scheme = b.scheme and a.annotator < b.annotator
  group by all;

create view versions as
  select v.name || '@' || v.number as version, v.name, v.number, v.version_id, v.root, v.num_examples, v.created_at, v.parent, v.recipe,
    coalesce((select sum(e.num_rows) from manifest_erasure e where e.manifest_key = v.manifest_key), 0)::bigint as num_erased,
    (select list(t.tag order by t.seq) from version_tag t where t.name = v.name and t.number = v.number) as tags
  from dataset_version v;
