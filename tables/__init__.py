"""How the published tables are made. Imports harness/ and common/."""

from common import lazily

__getattr__ = lazily(__name__)
