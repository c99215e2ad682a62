from flows.public import RATE_HZ as RATE_HZ
from flows.public import Audit as Audit
from flows.public import Example as Example
from flows.public import Workspace as Workspace
from flows.public import audit_table as audit_table
from flows.public import iter_examples as iter_examples
from flows.public import load_version as load_version
from flows.public import open_workspace as open_workspace

__version__: str
