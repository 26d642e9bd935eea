"""The client as a package of its own: it builds, and needs nothing of the portal."""

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "clients" / "python"


def test_wheel_holds_the_package_and_works_alone(tmp_path: Path) -> None:
    build = ["-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run([sys.executable, *build], cwd=PACKAGE, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        metadata = next(file.read(name).decode() for name in names if name.endswith("METADATA"))
    sources = {path.name for path in (PACKAGE / "src" / "kagiban_client").iterdir() if path.is_file()}
    assert {f"kagiban_client/{name}" for name in sources} <= names
    assert "kagiban_client/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)
    assert "Requires-Dist: httpx2" in metadata
    ask = "import kagiban_client, sys; print(kagiban_client.mask('x'), 'django' in sys.modules)"
    path = f"import sys; sys.path.insert(0, {str(wheel)!r}); "
    done = subprocess.run(
        [sys.executable, "-c", path + ask], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["…", "False"]
