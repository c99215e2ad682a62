-- Which warehouse this is, so that a workspace knows its own again; copies and snapshots of it have the same id.
create table identity(warehouse_id varchar not null);
insert into identity select replace(uuid()::varchar, '-', '');

-- Of an annotation the revision counts that was read last: pulls follow one another, and the server's clock may be set back.
create or replace view current_annotation as
  select * from annotation qualify row_number() over (partition by project_id, annotation_id order by seq desc) = 1;
