# exit: 4 | says: tampered with | journal: tampering | why: the same code with other defaults
import safeconsole.core.analysis

safeconsole.core.analysis.analyse.__kwdefaults__ = {"schema": "mysql"}
