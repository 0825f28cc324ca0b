# exit: 4 | says: tampered with | journal: tampering | why: somebody who always says yes
import msgspec


class Yes:
    def elevate(self, request, considered):
        return True


def forge(part, depth=0):
    for name, value in vars(part).items() if hasattr(part, "__dict__") else ():
        if name == "_confirmer":
            setattr(part, name, Yes())
        elif name == "_people":
            setattr(part, name, msgspec.structs.replace(value, confirmer=Yes()))
        elif depth < 2 and type(value).__module__.startswith("safeconsole."):
            forge(value, depth + 1)


forge(db._line.gate)
with elevate(reason="please"):
    db.sql("DELETE FROM orders")
