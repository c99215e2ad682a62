-- Which model is in use for a role, such as 'label:intent' or 'transcribe', and who decided so: the rule of the judge, or a person. The
-- newest row of a role counts; one without a training run goes back to what served before any was trained. training_run.promoted stays
-- what the judge decided on the day.
create table promotion(
  role varchar not null, training_id varchar not null, decided_by varchar not null, reason varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));

create view current_promotion as
  select * from promotion qualify row_number() over (partition by role order by seq desc) = 1;

alter table training_run add column role varchar;
update training_run set role = 'label:' || scheme;
create or replace view current_training_run as
  select * from training_run qualify row_number() over (partition by training_id order by seq desc) = 1;

insert into promotion(role, training_id, decided_by, reason, created_at, run_id, seq)
  select role, training_id, 'rule', reason, created_at, run_id, seq from current_training_run where promoted;
