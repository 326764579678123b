"""What Helm makes of the chart, in a process of its own: its library is Go's, with threads and signals of its own.

python -m tests.deploy.chart CHART '{"replicas": 3}'
"""

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    import helm_python  # pyright: ignore[reportMissingImports]

    place, values = sys.argv[1], json.loads(sys.argv[2])
    said = helm_python.lint(place)
    try:
        with helm_python.Chart.load(place) as chart:
            # As an install does: first what the schema says, of the defaults with these values over them.
            chart.validate_schema(chart.merge_values(values))
            made = chart.render(values, name="demo", namespace="prod")
    except helm_python.HelmError as error:
        made, said = {}, {**said, "refused": str(error)}
    print(json.dumps({"lint": said, "made": {Path(name).name: text for name, text in made.items()}}))
