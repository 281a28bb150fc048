"""Figures: the data of each one apart from its drawing. Knows matplotlib."""

import logging

# Where its cache cannot be kept, matplotlib says so three times, twice of them in its own terms.
logging.getLogger("matplotlib").addFilter(lambda record: "mkdir -p" not in str(record.msg))
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
