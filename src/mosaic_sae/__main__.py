"""``python -m mosaic_sae`` is the command ``mosaic``."""

from mosaic_sae.cli.main import main

if __name__ == "__main__":
    main()
