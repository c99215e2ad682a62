from __future__ import annotations

from pathlib import Path

from voxdata.tables.read import read_file


def test_read_file_leaves_out_a_column_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    path.write_text(",path,label\n0,a.wav,yes\n1,b.wav,no\n", encoding="utf-8")

    table = read_file(path)

    assert table.columns.names == ("path", "label")
    values = [row.values for row in table.rows]
    assert values == [
        {"path": "a.wav", "label": "yes"},
        {"path": "b.wav", "label": "no"},
    ]
    assert table.bad == ()
