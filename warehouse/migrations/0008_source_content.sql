-- SHA-256 of a file's bytes: a copy that has lost its time of change is known by it. Empty for files from before, and for those without a recording.
alter table source add column content varchar default '';
