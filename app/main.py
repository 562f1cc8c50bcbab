"""Open the app on ./output/classifications, or on the results folder of ``--config F``. The same as ``mosaic app``."""

import sys

from mosaic_sae.cli.main import main

if __name__ == "__main__":
    main(["app", *sys.argv[1:]])
