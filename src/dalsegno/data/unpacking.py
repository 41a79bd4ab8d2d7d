import shutil
from pathlib import Path


def unpack(archive: Path, folder: Path) -> None:
    shutil.unpack_archive(archive, folder, "zip")
