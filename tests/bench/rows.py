"""All rows of the benchmark."""

from rows_large import LARGE
from rows_many import MANY
from rows_small import SMALL
from rows_work import WORK

ROWS = {r.key: r for r in (*LARGE, *SMALL, *MANY, *WORK)}
