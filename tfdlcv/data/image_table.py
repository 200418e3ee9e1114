"""Image files listed in tables: one row an image, with its class, its value or both. The layout of OmniArt.

    <folder>/train.csv, test.csv      tables, comma-separated, with a header; UTF-8
    <folder>/train/<file>.jpg         images, in a folder for each table or in one for all

Rows of `train_table` are divided by data.validation_fraction and, without `test_table`, data.test_fraction. Classes are
numbered in the order of their names, as the training table has them; without `label_column` there is a single class.
"""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from tfdlcv.data import image_folder
from tfdlcv.data.image_folder import ImageFilesConfig
from tfdlcv.data.image_listing import ImageFiles, Listing
from tfdlcv.data.labelled_images import listed, selected_classes
from tfdlcv.data.valued_images import (
    OutOfRange,
    ValuedImages,
    ValueFacts,
    check_range,
    values_in_range,
    with_values,
)
from tfdlcv.errors import UserError

_ONLY_CLASS = "all"


class ImageTable(ImageFilesConfig):
    """Image files that tables list, with a class, a value or both."""

    name: Literal["image_table"]
    folder: str = Field(min_length=1)
    """Where tables and images are."""
    train_table: str = Field(min_length=1)
    """A CSV file in `folder`."""
    validation_table: str | None = None
    """Without it, a part of the training rows validates."""
    test_table: str | None = None
    """Without it, a part of the training rows tests."""
    train_images: str = "."
    """The folder, inside `folder`, of the files that the training table names."""
    validation_images: str = "."
    test_images: str = "."
    file_column: str = Field(min_length=1)
    """The column of the files' names, relative to the folder of images."""
    file_ending: str = ""
    """What the names lack, such as .jpg."""
    label_column: str | None = None
    value_column: str | None = None
    value_range: tuple[float, float] | None = None
    """Smallest and largest value; needed with `value_column`."""
    unit: str = ""
    """Of the values, for those who read predictions: years, degrees."""
    out_of_range: OutOfRange = "stop"
    """What to do about values outside the range; clip takes the nearest end."""

    @model_validator(mode="after")
    def _columns(self):
        if self.label_column is None and self.value_column is None:
            raise ValueError("label_column and value_column must not both be absent: there would be nothing to learn")
        if (self.value_column is None) != (self.value_range is None):
            raise ValueError(
                f"value_column ({self.value_column}) and value_range ({_text(self.value_range)}) must come together"
            )
        if self.value_range is not None:
            try:
                check_range(*self.value_range)
            except ValueError as error:
                raise ValueError(f"value_range {error}") from None
        if self.classes is not None and self.label_column is None:
            raise ValueError(f"classes ({', '.join(map(str, self.classes))}) needs label_column")
        return self


def build(config: ImageTable) -> ValuedImages:
    """Reads the tables and opens the files that they list.

    Raises:
        UserError: for tables, columns, rows or files that are missing or wrong; it names the first of them.
    """
    folder = Path(config.folder).expanduser().absolute()
    tables = {"train": config.train_table, "validation": config.validation_table, "test": config.test_table}
    rows = {part: _read_table(folder / table, config) for part, table in tables.items() if table is not None}
    listing = _listing(rows, folder, config)
    data = image_folder.build_listed(config, listing)
    if config.value_column is None:
        return ValuedImages(data)

    facts = ValueFacts(config.value_column, config.unit, *config.value_range)
    value_of = {}
    for part, table in rows.items():
        value_of.update(zip(_names(table, part, config), [row["value"] for row in table], strict=True))

    def valued(split):
        values = [value_of[split.describe(index)] for index in range(split.num_examples)]
        return with_values(split, values_in_range(values, facts, config.out_of_range, split.describe))

    splits = {"train": valued(data.train), "validation": valued(data.validation)}
    if data.test is not None:
        splits["test"] = valued(data.test)
    return ValuedImages(dataclasses.replace(data, **splits), facts)


def _read_table(path: Path, config: ImageTable) -> list[dict]:
    """Rows with `file`, `label` and `value`, as far as there are columns for them, and `line`."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [config.file_column, config.label_column, config.value_column]
            missing = [column for column in columns if column is not None and column not in (reader.fieldnames or [])]
            if missing:
                raise UserError(f"{path} has no column {missing[0]}; its columns are {listed(reader.fieldnames or [])}")
            rows = [_read_row(path, reader.line_num, row, config) for row in reader]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file in UTF-8: {error}") from None
    if not rows:
        raise UserError(f"{path} has no rows")
    return rows


def _read_row(path: Path, line: int, row: dict[str, str], config: ImageTable) -> dict:
    file = row[config.file_column]
    if not file:
        raise UserError(f"{path}:{line} has no {config.file_column}")
    content = {"file": file + config.file_ending, "line": line, "label": _ONLY_CLASS}
    if config.label_column is not None:
        content["label"] = row[config.label_column]
        if not content["label"]:
            raise UserError(f"{path}:{line} has no {config.label_column}")
    if config.value_column is not None:
        text = row[config.value_column]
        try:
            content["value"] = float(text)
        except (TypeError, ValueError):
            raise UserError(f"{path}:{line}: {config.value_column} must be a number. Received: {text!r}") from None
    return content


def _listing(rows: dict[str, list[dict]], folder: Path, config: ImageTable) -> Listing:
    class_names = tuple(sorted({row["label"] for row in rows["train"]}))
    if len(class_names) < 2 and config.label_column is not None:
        raise UserError(f"{folder / config.train_table} has a single {config.label_column}, {class_names[0]}")
    number = {name: index for index, name in enumerate(class_names)}
    chosen_names, new_number = selected_classes(config.classes, class_names)
    parts, first_row = {}, 0
    for part, table in rows.items():
        path = folder / getattr(config, f"{part}_table")
        for row in table:
            if row["label"] not in number:
                raise UserError(
                    f"{path}:{row['line']}: {config.label_column} {row['label']} is not in the training table"
                )
        names = np.array(_names(table, part, config), object)
        labels = np.array([new_number[number[row["label"]]] for row in table], np.int32)
        kept = labels >= 0
        names, labels = names[kept], labels[kept]
        paths = np.array([str(folder / name) for name in names], object)
        missing = [file for file in paths if not Path(file).is_file()]
        if missing:
            raise UserError(
                f"{len(missing):,} of {len(paths):,} files that {path} lists do not exist, among them {missing[0]}"
            )
        name, count = Counter(names.tolist()).most_common(1)[0] if len(names) else ("", 0)
        if count > 1:
            raise UserError(f"{path} lists {name} {count} times")
        parts[part] = ImageFiles(paths, names, labels, np.arange(first_row, first_row + len(paths)))
        first_row += len(paths)
    if "test" not in parts and "validation" not in parts:
        parts = {"all": parts["train"]}
    return Listing(parts, chosen_names)


def _names(table: list[dict], part: str, config: ImageTable) -> list[str]:
    """The files' paths inside `config.folder`."""
    folder = Path(getattr(config, f"{part}_images"))
    return [(folder / row["file"]).as_posix() for row in table]


def _text(value_range: tuple[float, float] | None) -> str:
    return "absent" if value_range is None else f"[{value_range[0]:g}, {value_range[1]:g}]"
