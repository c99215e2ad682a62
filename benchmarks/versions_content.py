"""Made-up rows of dataset versions, as many as wanted, for the benchmarks of the warehouse; nobody
said any of it.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

UTTERANCES_PER_RECORDING = 20

# Ids are digests, as real ones are, so that nothing is easier to compress or to join than in life.
ROWS = """
  select left(sha256('u' || i), 32) as utterance_id, left(sha256('r' || r), 32) as recording_id,
    (i % 2)::integer as channel,
    (i % PER * 5000)::bigint as start_ms, (i % PER * 5000 + 1500 + i % 2900)::bigint as end_ms,
    left(sha256('v' || (r * 2 + i % 2)), 32) as voice, left(sha256('g' || r), 32) as "group",
    left(sha256('r' || r), 2) || '/' || left(sha256('r' || r), 32) || '.flac' as audio_file,
    'utterance ' || i || case
      when i % 3 = 0 then ' 我想取消订单，谢谢'
      else ' please cancel the order that I made last week'
    end as text,
    case when i % 3 = 0 then 'zh' else 'en' end as language,
    case when r % 20 < 14 then 'train' when r % 20 < 17 then 'validation' else 'test' end as split,
    '{"emotion":{"distribution":{"' || emotion || '":666667,"neutral":333333},'
      || '"label":"' || emotion || '","num_votes":3},'
      || '"intent":{"distribution":{"' || intent || '":1000000},'
      || '"label":"' || intent || '","num_votes":3}}' as gold
  from (select i, r, ['happy', 'sad', 'angry'][1 + (i + moved) % 3] as emotion,
          ['question', 'request', 'complaint', 'answer'][1 + (i * 7 + moved) % 4] as intent
        from (select i, i // PER as r, RELABELLED as moved from range(SIZE) t(i)))""".replace(
    "PER", str(UTTERANCES_PER_RECORDING)
)


def write_versions(folder: Path, size: int) -> list[Path]:
    """Write what a dataset holds at two times, the later one with 1 % relabelled, 0.5 % new and 0.1
    % gone, recording by recording.

    Returns:
        Two Parquet files with the columns of a version's rows, kept for the next call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"rows-{size}-{number}.parquet" for number in (1, 2)]
    first = ROWS.replace("RELABELLED", "0").replace("SIZE", str(size))
    later = ROWS.replace(
        "RELABELLED", f"(hash(i // {UTTERANCES_PER_RECORDING}) % 100 = 0)::integer"
    ).replace("SIZE", str(size + size // 200))
    second = f"select * from ({later}) where hash(recording_id) % 1000 <> 1"
    for path, query in zip(paths, (first, second), strict=True):
        if not path.exists():
            partial = path.with_suffix(".partial")
            with duckdb.connect() as con:
                con.execute(
                    f"copy ({query} order by recording_id, start_ms) to '{partial}' (format "
                    "parquet, compression zstd)"
                )
            partial.replace(path)
    return paths
