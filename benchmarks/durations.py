"""Write benchmarks/durations.csv, what jobs cost where nothing was run yet, from the records of a results folder.

python benchmarks/durations.py results
"""

import sys
from pathlib import Path

from dalsegno import cost

if __name__ == "__main__":
    cost.write_table(cost.TABLE, cost.recorded(Path(sys.argv[1])))
