-- Few rows are replaced by later ones, so only those are put in order; the rest of a million costs a hash each.
create or replace view current_annotation as
  select * from annotation where seq not in (
    select unnest(seqs[:-2]) from (
      select list(seq order by seq) as seqs from annotation
      where hash(project_id, annotation_id) in (
        select hash(project_id, annotation_id) as h from annotation group by h having count(*) > 1)
      group by project_id, annotation_id));

create or replace view current_push as
  select * from push where seq not in (
    select unnest(seqs[:-2]) from (
      select list(seq order by seq) as seqs from push
      where hash(project_id, utterance_id) in (
        select hash(project_id, utterance_id) as h from push group by h having count(*) > 1)
      group by project_id, utterance_id));
