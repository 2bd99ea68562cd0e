"""How one run is run: settings, command line, progress, results, figures. Imports common/ only."""

from common import lazily

__getattr__ = lazily(__name__)
