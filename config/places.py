"""Where a local installation keeps what it has: `var/` of the checkout, or the folder of KAGIBAN_VAR."""

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
VAR: Final = Path(os.environ.get("KAGIBAN_VAR") or ROOT / "var").resolve()
