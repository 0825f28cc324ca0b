# exit: 4 | says: tampered with | journal: tampering | why: the same code with other defaults
import safeconsole.sqltext.analysis

safeconsole.sqltext.analysis.analyse.__kwdefaults__ = {"schema": "mysql"}
