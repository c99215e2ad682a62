-- Which warehouse this is, so that a workspace knows its own again; copies and snapshots of it have the same id.
create table identity(warehouse_id varchar not null);
insert into identity select replace(uuid()::varchar, '-', '');
