-- An annotation names any number of labels under a scheme, the main one first, and says more than labels.
update annotation set labels = coalesce(
  (select json_group_object(e.key, json_array(e.value)) from json_each(annotation.labels) e where e.type <> 'ARRAY'), '{}');
drop view current_annotation;
alter table annotation add column ratings json default '{}';
alter table annotation add column flags json default '[]';
-- Who wrote the revision when that is not the annotator; which models made the proposal the annotator began with; the label sets shown.
alter table annotation add column author varchar default '';
alter table annotation add column proposal varchar default '';
alter table annotation add column scheme_versions json default '{}';
create view current_annotation as
  select * from annotation
  qualify row_number() over (partition by project_id, annotation_id order by updated_at desc, deleted desc, seq desc) = 1;

-- The chain over the annotations: hash = sha256(previous hash, content of the row with this seq).
create table annotation_seal(
  annotation_seq bigint not null, previous varchar not null, hash varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- Label Studio projects: what each is for ("label" or "adjudicate"), and when the server made it. A server that was set up anew
-- gives the same numbers to other projects, so ours, project_id, is another then.
create table annotation_project(
  project_id bigint not null, server_id bigint not null, made_at varchar not null, purpose varchar not null, title varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- The state in which a clip of a project was last read; the newest row of a clip counts.
create table clip_mark(
  project_id bigint not null, utterance_id varchar not null, mark varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- When a project was read for changes, by the server's clock: the cursor of the next pull.
create table queue_read(
  project_id bigint not null, read_at timestamp not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- An annotation that was written again into another project, since its own was lost.
create table annotation_move(
  project_id bigint not null, annotation_id bigint not null, to_project_id bigint not null, to_annotation_id bigint not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- A clip given out under a key of its own, to check people: purpose "gold" (the answer is known) or "retest" (heard before).
create table check_clip(
  key varchar not null, utterance_id varchar not null, purpose varchar not null, shift_ms bigint not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

-- How a clip was given out: arm of the acquisition, whether the proposal was withheld, how many people should hear it.
drop view current_push;
alter table push add column arm varchar default '';
alter table push add column blind boolean default false;
alter table push add column votes_wanted integer default 1;
alter table push add column proposal varchar default '';
create view current_push as
  select * from push qualify row_number() over (partition by project_id, utterance_id order by seq desc) = 1;

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
