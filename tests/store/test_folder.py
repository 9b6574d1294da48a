from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from faultline.store import folder
from tests.store.kit import One, written

ROOT = Path(".faultline")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ROOT.mkdir()


def failing() -> One:
    """A failure that saved its schedule and history where the next one of its name overwrites them."""
    (ROOT / "orders-seed1.json").write_text("the schedule")
    (ROOT / "orders-seed1.history.jsonl").write_text("the history")
    return One(fails=[1], schedule=".faultline/orders-seed1.json")


def test_a_run_keeps_copies_of_what_its_failures_saved_and_names_those() -> None:
    id = written(ROOT, failing())
    (ROOT / "orders-seed1.json").write_text("another")
    place = ROOT / "runs" / id
    failure = json.loads((place / "report.json").read_text())["results"][0]["failures"][0]
    assert failure["schedule"] == f".faultline/runs/{id}/orders-seed1.json"
    assert failure["repeat"] == f"faultline replay .faultline/runs/{id}/orders-seed1.json"
    assert Path(failure["schedule"]).read_text() == "the schedule"
    assert Path(failure["history"]).read_text() == "the history"
    names = [path.name for path in folder.artifacts(ROOT, id)]
    assert names == ["orders-seed1.history.jsonl", "orders-seed1.json", "report.json", "run.json"]


def test_what_cannot_be_written_whole_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space"):
        written(ROOT, failing())
    assert list((ROOT / "runs").iterdir()) == []
    assert folder.pending(ROOT) == []


def test_only_an_abandoned_half_of_a_folder_is_swept() -> None:
    written(ROOT, One())
    fresh, old = ROOT / "runs" / ".fresh.part", ROOT / "runs" / ".old.part"
    for path in (fresh, old):
        path.mkdir()
        (path / "report.json").touch()
    os.utime(old, (1, 1))
    folder.sweep(ROOT)
    assert (fresh.exists(), old.exists(), len(folder.pending(ROOT))) == (True, False, 1)


def test_latest_leads_to_the_run_that_was_taken_in_last() -> None:
    first, second = written(ROOT, One(), day=1), written(ROOT, One(), day=2)
    for id in (first, second):
        folder.point_latest(ROOT, id)
    assert (ROOT / "latest" / "report.json").samefile(ROOT / "runs" / second / "report.json")
    assert [path.name for path in ROOT.iterdir() if path.name.startswith(".latest")] == []


def test_where_a_folder_stands_in_the_way_there_is_no_link() -> None:
    (ROOT / "latest").mkdir()
    folder.point_latest(ROOT, "x")
    assert (ROOT / "latest").is_dir()
    assert [path.name for path in ROOT.iterdir()] == ["latest"]


@pytest.mark.parametrize("id", ["", ".", "..", "../..", "20260101-000000-abcdef/..", "x", "20260101-000000-ABCDEF"])
def test_what_is_no_id_is_no_folder(id: str) -> None:
    (ROOT / "runs").mkdir()
    (ROOT / "secret").write_text("x")
    assert not folder.is_id(id)
    assert list(folder.artifacts(ROOT, id)) == []
    folder.remove(ROOT, id)
    assert (ROOT / "secret").exists()


def test_links_and_hidden_files_are_no_artifacts(tmp_path: Path) -> None:
    id = written(ROOT, One())
    (tmp_path / "secret").write_text("x")
    (ROOT / "runs" / id / "link.json").symlink_to(tmp_path / "secret")
    (ROOT / "runs" / id / ".hidden").touch()
    (ROOT / "runs" / id / "folder").mkdir()
    assert [path.name for path in folder.artifacts(ROOT, id)] == ["report.json", "run.json"]
    other = "20260101-000000-abcdef"
    (ROOT / "runs" / other).symlink_to(ROOT / "runs" / id)
    assert list(folder.artifacts(ROOT, other)) == []


def test_ids_sort_by_time_and_differ() -> None:
    early, late = folder.about(1_000_000_000.0, "run"), folder.about(1_000_000_001.0, "run")
    assert early.id.startswith("20010909-014640-")
    assert early.id < late.id
    assert len({folder.about(1.0, "run").id for _ in range(50)}) == 50
