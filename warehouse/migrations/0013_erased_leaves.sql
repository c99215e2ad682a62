-- Which rows an erasure took, by their numbers, so that its receipt can name the leaves that they left behind.
create table erasure_leaf(receipt_id varchar not null, row_id bigint not null);

-- Of erasures before: an erasure took a row from every version that held it, so where one alone fits all of these it was that one.
-- Rows that several fit stay without.
insert into erasure_leaf
  with gone as (from manifest semi join manifest_erasure using (manifest_key) anti join example using (row_id)),
  spread as (select row_id, count(*) as num_manifests from gone group by row_id),
  fitting as (
    select g.row_id, e.receipt_id, count(distinct g.manifest_key) as num_manifests
    from gone g join manifest_erasure e using (manifest_key) group by all)
  select any_value(receipt_id), row_id from fitting join spread using (row_id, num_manifests) group by row_id having count(*) = 1
  order by row_id;
