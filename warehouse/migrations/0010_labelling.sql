-- A model that abstains, or for which several labels lead alike, stands for no label: '' instead of the first in the alphabet.
update prediction set label = '' where rowid in (
  select p.rowid from prediction p,
    lateral (select list_reverse_sort(map_values(p.distribution::map(varchar, double))) as shares)
  where len(shares) = 0 or (len(shares) > 1 and shares[1] - shares[2] <= 1e-6));

-- Under one scheme a label may have been ticked beforehand and under another not: `proposal` names the models whose label was.
drop view agreement;
drop view labels;
drop view annotation_oddity;
drop view current_annotation;

-- An annotation carries that a script gave it: the share of labels at which that errs; null for a person. The demo's scripts of earlier
-- releases left no mark; they answered as these three, each time in two seconds, which no person does.
alter table annotation add column simulated double;
alter table annotation add column simulated_before double;
update annotation set simulated_before = map {
    'annotator-1@voxdata.local': 0.05, 'annotator-2@voxdata.local': 0.1, 'annotator-3@voxdata.local': 0.15}[annotator]
  where annotator in ('annotator-1@voxdata.local', 'annotator-2@voxdata.local', 'annotator-3@voxdata.local') and lead_time_ms = 2000;

create view current_annotation as
  select * from annotation
  qualify row_number() over (partition by project_id, annotation_id order by updated_at desc, deleted desc, seq desc) = 1;
create view annotation_oddity as
  with seen as (
    select a.*, p.purpose,
      row_number() over same as revision,
      min(case when p.purpose = 'adjudicate' and not a.skipped and not a.deleted then a.updated_at end) over (partition by a.utterance_id) as adjudicated_at
    from annotation a left join (select project_id, arg_max(purpose, seq) as purpose from annotation_project group by project_id) p using (project_id)
    window same as (partition by a.project_id, a.annotation_id order by a.seq))
  select 'written in the name of another' as oddity, * exclude (purpose, revision, adjudicated_at) from seen s
    where author <> '' and author <> annotator and not deleted and not (revision = 1 and exists (
      from annotation_move m where m.to_project_id = s.project_id and m.to_annotation_id = s.annotation_id))
  union all
  select 'vanished from Label Studio', * exclude (purpose, revision, adjudicated_at) from seen s
    where deleted and not exists (from annotation_move m where m.project_id = s.project_id and m.annotation_id = s.annotation_id)
  union all
  select 'changed after adjudication', * exclude (purpose, revision, adjudicated_at) from seen
    where not deleted and purpose is distinct from 'adjudicate' and updated_at > adjudicated_at;

create view labels as
  with purpose as (select project_id, arg_max(purpose, seq) as purpose from annotation_project group by project_id),
  chosen as (
    select a.*, unnest(map_entries(a.labels::map(varchar, varchar[]))) as vote from current_annotation a where not a.deleted and not a.skipped)
  select c.utterance_id, c.vote.key as scheme, unnest(c.vote.value) as label, generate_subscripts(c.vote.value, 1) as place,
    c.annotator, coalesce(p.purpose, 'label') as purpose,
    c.proposal <> '' and (not contains(c.proposal, ':') or contains(' ' || c.proposal, ' ' || c.vote.key || ':')) as proposal_shown,
    c.updated_at, c.annotation_id, c.project_id
  from chosen c left join purpose p using (project_id)
  where c.utterance_id not in (select key from check_clip);

create view agreement as
  with vote as (
    select utterance_id, scheme, annotator, arg_max(label, updated_at) as label from labels where place = 1 and purpose = 'label' group by all)
  select a.scheme, a.annotator as annotator_a, b.annotator as annotator_b, count(*) as utterances,
    count(*) filter (a.label = b.label) as same, round(count(*) filter (a.label = b.label) / count(*), 4) as observed_agreement
  from vote a join vote b on a.utterance_id = b.utterance_id and a.scheme = b.scheme and a.annotator < b.annotator
  group by all;

-- One row for each example of a version and scheme under which it has a gold label.
create view gold as
  with newest as (select name, max(number) as number from dataset_version group by name),
  held as (
    select v.name || '@' || v.number as version, v.name, v.number, v.number = n.number as newest, v.recipe, v.created_at, e.*
    from dataset_version v join newest n on n.name = v.name join manifest m using (manifest_key)
    join (select * exclude (created_at, run_id) from example) e using (row_id)),
  told as (select h.* exclude (gold), unnest(map_entries(h.gold::json::map(varchar, json))) as said from held h)
  select t.version, t.name, t.number, t.newest, t.said.key as scheme, json_extract_string(t.said.value, '$.label') as label, t.split,
    t.utterance_id, t.recording_id, t.channel, t.start_ms, t.end_ms, t.end_ms - t.start_ms as duration_ms,
    (t.end_ms - t.start_ms) / 60000 as minutes, t.voice, t.language, t.text,
    json_extract(t.said.value, '$.num_votes')::integer as num_votes,
    (json_extract(t.said.value, '$.distribution')::map(varchar, bigint))[json_extract_string(t.said.value, '$.label')] / 1e6 as share,
    coalesce(json_extract_string(t.said.value, '$.standing'), '') as standing, t.created_at
  from told t;

-- The gold rows of versions that were brought in by `voxdata import`, with where they came from.
create view imported as
  select g.*,
    coalesce(json_extract_string(v.recipe, '$.imported.manifest'), json_extract_string(v.recipe, '$.imported.ref')) as source,
    json_extract_string(v.recipe, '$.imported.root') as source_root
  from gold g join dataset_version v on v.name = g.name and v.number = g.number
  where json_exists(v.recipe, '$.imported');
