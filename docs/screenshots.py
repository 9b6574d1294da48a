"""Takes the pictures that the README shows: ``python docs/screenshots.py`` (needs Chromium).

They are of what ``faultline init`` writes, so that anybody can see the same within a minute.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
SIZE = "1300,1120"


def main() -> None:
    """Run the example, write its page, take the picture."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no Chromium found; on Debian: apt-get install chromium")
    faultline = [sys.executable, "-m", "faultline"]
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*faultline, "init"], cwd=folder, check=True, capture_output=True)
        ran = subprocess.run([*faultline, "run", "chaos/", "--html", "page.html"], cwd=folder, capture_output=True)
        if ran.returncode != 1:
            sys.exit(f"the example should fail, and ended with {ran.returncode}: {ran.stderr.decode()}")
        shot = IMAGES / "report.png"
        page = (Path(folder) / "page.html").as_uri()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}"]
        subprocess.run([browser, *options, f"--screenshot={shot}", page], check=True, capture_output=True, timeout=120)
        print(f"{shot}: {shot.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
