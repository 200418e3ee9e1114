"""Tiny files in the layouts of published segmentation data sets, for the tests of their readers."""

import json

import numpy as np
from PIL import Image


def write_image(path, height, width, seed=0):
    """A random RGB image; by its ending, JPEG or PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_mask(path, mask, *, mode="P"):
    """A mask of bytes; P: with a palette whose colours have nothing to do with its numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(mask, np.uint8))
    if mode == "P":
        image.putpalette([(7 * value) % 256 for value in range(768)])
    elif mode != "L":
        image = image.convert(mode)
    image.save(path)


def mask_of(height, width, *values):
    """Stripes of the values, and a line of void at the top."""
    mask = np.repeat(np.array(values, np.uint8), -(-width // len(values)))[:width]
    mask = np.tile(mask, (height, 1))
    mask[0] = 255
    return mask


def write_voc(folder, train=4, val=2):
    """VOC2012 with images of 12 x 16 and 16 x 12."""
    names = {"train": [f"2007_{i:06d}" for i in range(train)], "val": [f"2008_{i:06d}" for i in range(val)]}
    for part, listed in names.items():
        path = folder / "ImageSets" / "Segmentation" / f"{part}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(listed) + "\n")
        for i, name in enumerate(listed):
            size = (12, 16) if i % 2 == 0 else (16, 12)
            write_image(folder / "JPEGImages" / f"{name}.jpg", *size, seed=i)
            write_mask(folder / "SegmentationClass" / f"{name}.png", mask_of(*size, 0, 15, 20))


def write_cityscapes(folder, train=3, val=2):
    """Cityscapes with images of 16 x 32: road, car, void label 4, licence plate 255."""
    for part, count in (("train", train), ("val", val)):
        for i in range(count):
            name = f"aachen_{i:06d}_000019"
            write_image(folder / "leftImg8bit" / part / "aachen" / f"{name}_leftImg8bit.png", 16, 32, seed=i)
            path = folder / "gtFine" / part / "aachen" / f"{name}_gtFine_labelIds.png"
            write_mask(path, mask_of(16, 32, 7, 26, 4, 33), mode="L")


def write_coco(folder, *, part="train2017", images=3, annotations=(), categories=((3, "car"), (7, "dog"))):
    """A COCO file with images of 20 x 30; annotations are added to the first image, ids from 1."""
    records = []
    for number in range(1, images + 1):
        write_image(folder / part / f"{number:012d}.jpg", 20, 30, seed=number)
        records.append({"id": number, "file_name": f"{number:012d}.jpg", "height": 20, "width": 30})
    content = {
        "images": records,
        "annotations": [{"id": place, "image_id": 1, "iscrowd": 0, **a} for place, a in enumerate(annotations, 1)],
        "categories": [{"id": number, "name": name} for number, name in categories],
    }
    path = folder / "annotations" / f"instances_{part}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def rectangle(x0, y0, x1, y1):
    """A polygon."""
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]
