-- That a push went through everything: what was stored up to through_seq is in Label Studio as it was to be under these settings and
-- models, or stays for a reason. The next push under the same context looks at what came since.
create table push_pass(
  project_id bigint not null, context varchar not null, through_seq bigint not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));
