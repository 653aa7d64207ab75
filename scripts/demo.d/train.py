"""Train a classifier on FOLDER/CLASS/*.png, print its accuracy and write it to MODEL.

It reads plain paths: nothing here knows where they come from.
"""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import numpy as np
from PIL import Image
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC


def main() -> None:
    folder, model_path = Path(sys.argv[1]), Path(sys.argv[2])
    paths = sorted(folder.glob("*/*.png"))
    pixels = np.array([np.asarray(Image.open(path)).ravel() / 255 for path in paths])
    labels = np.array([int(path.parent.name) for path in paths])
    train_x, test_x, train_y, test_y = train_test_split(
        pixels, labels, test_size=0.25, random_state=0, stratify=labels
    )
    model = SVC(gamma="scale").fit(train_x, train_y)
    accuracy = model.score(test_x, test_y)
    model_path.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, model_path)
    print(f"{len(paths)} images, test accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
