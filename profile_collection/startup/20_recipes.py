"""Plans by name, ready for RE(...), and the recipes of plans/ by run_recipe(path)."""

import bluesky.plan_stubs as bps
import bluesky.plans as bp

from battbeam.plans.calibrate import calibrate_geometry, measure_dark
from battbeam.plans.operando import operando
from battbeam.plans.xrd_map import xrd_map
from battbeam.plans.xrd_series import xrd_reduction, xrd_series
from battbeam.session import example_path

run_recipe = session.run_recipe
recipes = {path.stem: path for path in sorted(example_path("plans").glob("*.py"))}
print(f"recipes: {', '.join(recipes)}; run one with run_recipe(recipes['calibrate'])")
