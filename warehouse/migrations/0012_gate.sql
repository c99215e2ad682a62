-- Who must stay out now: recordings, utterances and check clips, by a digest of their id. warehouse/gate.py asks; the entries from before
-- are sealed by warehouse/chain.py.
create view barred as
  select * from forgotten qualify row_number() over (partition by kind, subject order by seq desc) = 1 and not renewed;
