-- The secret by which the annotators of a version get their pseudonyms: another one for every version, so that nobody is followed from
-- one version to the next. Made when the version is first handed to a training.
create table pseudonym_salt(
  version_id varchar not null, salt varchar not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));
