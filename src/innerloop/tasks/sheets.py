"""Excel and Parquet files as records, by packages that are imported only here (`innerloop[tables]`)."""

import contextlib
import datetime
import io
import math
import re
import warnings
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from innerloop.core.errors import InputError
from innerloop.core.names import reason

Record = tuple[str, list[Any]]
"""Where it stands, such as "row 4", and its cells."""
_UNPACKED = 100_000_000
"""Bytes that an Excel file may unpack to: it is read into memory."""
_ROWS = 2**20
"""Rows of an Excel sheet, as many as Excel itself takes."""
_RECORDS = 10_000_000
"""Records of a Parquet file: a few bytes may stand for any number of them."""
_HELD = 1_000_000_000
"""Bytes that a Parquet file may unpack to."""
_BATCH = 256
_ZEROS = re.compile("0+")


def excel(file: IO[bytes], name: str) -> tuple[list[str], Iterator[Record]]:
    """Columns and records of the first sheet, cells as they look: whole numbers have no point, formulas their value.

    Args:
        file: Of the `.xlsx`.
        name: What errors call it.

    Raises:
        InputError: It is damaged or too large, or openpyxl is missing.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise InputError(f"reading {name} needs openpyxl: pip install 'innerloop[tables]'") from error
    with _explained(name, "Excel (.xlsx)"):
        content = io.BytesIO(file.read())
        with zipfile.ZipFile(content) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _UNPACKED:
            raise InputError(
                f"{name} unpacks to {size:,} bytes, and {_UNPACKED:,} is most: save the sheet as CSV, or in parts"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Excel kept beside the cells
            book = openpyxl.load_workbook(content, read_only=True, data_only=True)
        if not book.worksheets:
            raise InputError(f"{name} has no sheet of cells")
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # which anyone may have written, and rows would be filled up to
    rows = _rows(sheet, name)
    header = next((cells for _, cells in rows if any(cells)), [])
    while header and header[-1] is None:
        header.pop()
    columns = ["" if cell is None else str(cell).strip() for cell in header]
    return columns, ((f"row {number}", cells) for number, cells in rows)


def parquet(file: IO[bytes], name: str) -> tuple[list[str], Iterator[Record]]:
    """Columns and records.

    Args:
        file: Of the `.parquet`.
        name: What errors call it.

    Raises:
        InputError: It is damaged or too large, or pyarrow is missing.
    """
    try:
        from pyarrow import parquet as reader
    except ImportError as error:
        raise InputError(f"reading {name} needs pyarrow: pip install 'innerloop[tables]'") from error
    with _explained(name, "Parquet"):
        opened = reader.ParquetFile(io.BytesIO(file.read()))
        count = opened.metadata.num_rows
        if count > _RECORDS:
            raise InputError(f"{name} holds {count:,} records, and {_RECORDS:,} is most: save it in parts")
        size = sum(opened.metadata.row_group(i).total_byte_size for i in range(opened.metadata.num_row_groups))
        if size > _HELD:
            raise InputError(f"{name} unpacks to {size:,} bytes, and {_HELD:,} is most: save it in parts")
        columns = list(opened.schema_arrow.names)
    return columns, _records(opened, name)


def _rows(sheet: Any, name: str) -> Iterator[tuple[int, list[Any]]]:
    rows = iter(sheet.iter_rows())
    for number in range(1, _ROWS + 1):
        with _explained(name, "Excel (.xlsx)"):
            row = next(rows, None)
            if row is None:
                return
            cells = [_shown(cell, f"{name}, row {number}") for cell in row]
        yield number, cells
    raise InputError(f"{name} has more than {_ROWS:,} rows, which Excel itself would not read: save it in parts")


def _shown(cell: Any, place: str) -> Any:
    value = cell.value
    if value is None or isinstance(value, str):
        if value is not None and cell.data_type == "e":
            raise InputError(f"{place} holds {value[:20]}, an error of Excel: mend the formula or empty the cell")
        return value or None
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        whole = isinstance(value, int) or (math.isfinite(value) and value.is_integer() and abs(value) < 1e15)
        text = str(int(value)) if whole else format(value, ".15g")
        # 007 is a number to Excel, too.
        return text.zfill(len(cell.number_format)) if whole and _ZEROS.fullmatch(cell.number_format or "") else text
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        value = value.date()
    return str(value)


def _records(opened: Any, name: str) -> Iterator[Record]:
    number, batches = 0, iter(())
    with _explained(name, "Parquet"):
        batches = opened.iter_batches(batch_size=_BATCH)
    while True:
        with _explained(name, "Parquet"):
            batch = next(batches, None)
            if batch is None:
                return
            columns = [column.to_pylist() for column in batch.columns]
        for cells in zip(*columns, strict=True):
            number += 1
            yield f"row {number}", [_plain(cell) for cell in cells]


def _plain(cell: Any) -> Any:
    """Whole numbers that pandas made floats of, because some were missing, as numbers; what is missing as nothing."""
    if isinstance(cell, float):
        return None if math.isnan(cell) else int(cell) if cell.is_integer() else cell
    return cell


@contextlib.contextmanager
def _explained(name: str, what: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"there is not enough memory for {name}: save it in parts") from error
    except Exception as error:  # whatever the package stumbles on
        raise InputError(
            f"{name} is no {what} file that can be read ({reason(error)}): save it anew, or as CSV"
        ) from error
