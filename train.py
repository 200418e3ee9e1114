"""python train.py CONFIG [section.key=value ...]: the command `tfdlcv train` from a checkout."""

import sys

from tfdlcv.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
