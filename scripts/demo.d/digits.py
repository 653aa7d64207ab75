"""Write scikit-learn's handwritten digits as PNG files: FOLDER/CLASS/NUMBER.png.

One of them is put into the wrong folder, as it happens: something to correct later.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

MISPLACED = {5: 3}
"""Number 5 of the data is a five."""


def main() -> None:
    folder = Path(sys.argv[1])
    digits = load_digits()
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        # The data has 17 shades of grey.
        image = Image.fromarray((pixels * 15).astype(np.uint8))
        folder_name = str(MISPLACED.get(number, label))
        image.save(folder / folder_name / f"{number:04}.png")


if __name__ == "__main__":
    main()
