"""Files of others are read where they are files, and nothing leads out of a folder."""

import errno
import os
from pathlib import Path

import pytest

from wsrl.safe_files import check_inside, naming, read_regular, who_else_writes


def test_only_a_regular_file_of_bounded_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")  # nobody will ever write into it
    assert read_regular(tmp_path / "file", 3) == read_regular(tmp_path / "link", 3) == b"123"
    with pytest.raises(ValueError, match="more than 2 bytes"):
        read_regular(tmp_path / "file", 2)
    for place in (Path(os.devnull), tmp_path, tmp_path / "pipe"):
        with pytest.raises(ValueError, match="no regular file"):
            read_regular(place, 10)


def test_links_may_lead_into_a_folder_but_not_out_of_it(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    (home / "real").mkdir(parents=True)
    outside.mkdir()
    (home / "inner").symlink_to("real")
    (home / "outer").symlink_to(outside)
    (home / "circle").symlink_to("circle")
    (home / "real" / "file").symlink_to(outside / "not there yet")
    (tmp_path / "alias").symlink_to(home)
    for folder in (home, tmp_path / "alias"):
        check_inside(folder, "real", "inner", "inner/new", "not/there", "circle")
        for name in ("outer", "outer/new", "real/file", "inner/file"):
            with pytest.raises(ValueError, match="leads out of"):
                check_inside(folder, "real", name)


def test_a_file_is_its_users_alone_only_where_nobody_else_writes(tmp_path: Path) -> None:
    folder = (tmp_path / "folder").resolve()
    folder.mkdir(mode=0o755)
    file = folder / "file"
    file.write_text("")
    for place in (file, folder, folder.parent):
        kept = place.stat().st_mode & 0o777
        for mode in (0o700, 0o755, 0o644, 0o600):
            if os.geteuid() == 0 or place is file or mode & 0o100:
                place.chmod(mode)
                assert who_else_writes(file) is None
        for mode in (0o775, 0o757, 0o777):
            place.chmod(mode)
            assert who_else_writes(file) == f"others can write {place}"
        place.chmod(kept)
    folder.parent.chmod(0o1777)  # as /tmp
    assert who_else_writes(file) is None
    file.chmod(0o666)
    folder.chmod(0o777)
    assert who_else_writes(file) == f"others can write {file}, {folder}"
    file.chmod(0o600)
    folder.chmod(0o1777)  # others may put files beside it, under a name that is looked for
    assert who_else_writes(file) == f"others can write {folder}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_user_is_not_its_users_alone(tmp_path: Path) -> None:
    file = tmp_path.resolve() / "file"
    file.write_text("")
    assert who_else_writes(file) is None
    os.chown(file, 12345, 12345)
    assert who_else_writes(file) == f"{file} belongs to another user (number 12345)"


def test_an_error_without_a_name_gets_one_and_another_keeps_its_own(tmp_path: Path) -> None:
    path = Path("/somewhere/file")
    with pytest.raises(OSError, match="No space left on device: '/somewhere/file'"), naming(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(FileNotFoundError, match=f"'{tmp_path / 'missing'}'"), naming(path):
        (tmp_path / "missing").read_bytes()
    with pytest.raises(ValueError, match="other"), naming(path):
        raise ValueError("other")
