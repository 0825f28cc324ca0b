# exit: 4 | says: tampered with | journal: tampering | why: who looks for tampering is looked at too
import safeconsole.python.fences as fences

fences._LOOKS.clear()
