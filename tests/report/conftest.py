import sys
from pathlib import Path

# The made-up run folders are shared with the tests of the app.
sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
