-- That a search through everything found nothing left of what a receipt is about: a receipt without such a row is not proven.
create table erasure_proof(
  receipt_id varchar not null, num_texts bigint not null, num_files bigint not null,
  created_at timestamp not null default (now() at time zone 'UTC'), run_id varchar not null, seq bigint not null default nextval('row_seq'));
